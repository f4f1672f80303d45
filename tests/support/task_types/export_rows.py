"""export_rows: works in steps, and keeps after each how far it is; for tests only."""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

from taskledger_sdk import RetryPolicy, TaskContext, rule, task_type

RETRY = RetryPolicy(max_retries=50, base_seconds=0.2, cap_seconds=1.0)


@dataclass(frozen=True, kw_only=True)
class ExportRows:
    """Where to write what happens, how many steps, and how long each takes."""

    path: str
    steps: int = 3
    seconds: float = rule(default=0.1)


@task_type("export_rows", retry=RETRY, timeout_seconds=7 * 24 * 3600, examples=({"path": "/tmp/rows"},))
def export_rows(task: TaskContext, payload: ExportRows) -> dict[str, Any]:
    """Note where the attempt begins, and each step once its checkpoint is kept."""
    begun = task.last_checkpoint or 0
    _write(payload.path, "begin", task, begun)
    for step in range(begun, payload.steps):
        time.sleep(payload.seconds)
        task.checkpoint(step + 1)
        _write(payload.path, "kept", task, step + 1)
    return {"begun": begun, "pid": os.getpid()}


@task_type("export_rows.async", retry=RETRY, timeout_seconds=3600, examples=({"path": "/tmp/rows"},))
async def export_rows_async(task: TaskContext, payload: ExportRows) -> dict[str, Any]:
    """Do the same as a coroutine."""
    begun = await asyncio.to_thread(getattr, task, "last_checkpoint") or 0
    _write(payload.path, "begin", task, begun)
    for step in range(begun, payload.steps):
        await asyncio.sleep(payload.seconds)
        await asyncio.to_thread(task.checkpoint, step + 1)
        _write(payload.path, "kept", task, step + 1)
    return {"begun": begun, "pid": os.getpid()}


def _write(path: str, what: str, task: TaskContext, step: int) -> None:
    with open(path, "a") as file:
        file.write(f"{what} {task.id} {task.attempt} {step}\n")
