"""trace_run: writes down when each run begins and ends, whatever becomes of its outcome; for tests only."""

import os
import time
from dataclasses import dataclass

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class TraceRun:
    """Where to write, and how long to work."""

    path: str
    seconds: float = 0.0


@task_type(
    "trace_run",
    retry=RetryPolicy(max_retries=20, base_seconds=0.2, cap_seconds=1.0),
    examples=({"path": "/tmp/runs"},),
)
def trace_run(task: TaskContext, payload: TraceRun) -> int:
    """Append a line at the start and one at the end; return the process id."""
    _write(payload.path, "start", task)
    time.sleep(payload.seconds)
    _write(payload.path, "end", task)
    return os.getpid()


def _write(path: str, what: str, task: TaskContext) -> None:
    with open(path, "a") as file:
        file.write(f"{what} {task.id} {task.attempt} {os.getpid()} {time.time():.3f}\n")
