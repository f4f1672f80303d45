"""coroutine: a handler that is a coroutine function, and does one deed a task; for tests only."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskledger_sdk import RetryPolicy, TaskContext, task_type
from tasks import correlation


@dataclass(frozen=True, kw_only=True)
class Deed:
    name: str = "wait"
    seconds: float = 0.01
    path: str = ""


async def undo_coroutine(task: TaskContext, payload: Deed, result: Any) -> str:
    """Wait, and say what was taken back."""
    await asyncio.sleep(payload.seconds)
    return f"took back {result}"


@task_type(
    "coroutine",
    retry=RetryPolicy(max_retries=0),
    grace_seconds=2,
    undo=undo_coroutine,
    examples=({"name": "wait", "seconds": 0.01},),
)
async def coroutine(task: TaskContext, payload: Deed) -> Any:
    """Do the deed."""
    return await DEEDS[payload.name](task, payload)


async def _wait(_task: TaskContext, deed: Deed) -> float:
    """Note the moments at which it began and had cleaned up, where a path is given."""
    _note(deed, "began")
    try:
        await asyncio.sleep(deed.seconds)
    finally:
        await asyncio.sleep(0.05)
        _note(deed, "cleaned up")
    return deed.seconds


async def _exit(_task: TaskContext, deed: Deed) -> None:
    await asyncio.sleep(deed.seconds)
    sys.exit(1)


async def _ignore(_task: TaskContext, deed: Deed) -> None:
    _note(deed, "began")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def _keep_loop(_task: TaskContext, deed: Deed) -> None:
    _note(deed, "began")
    time.sleep(deed.seconds)


async def _tell(task: TaskContext, _deed: Deed) -> dict[str, Any]:
    """Use the context as a coroutine should."""
    task.log("halfway", pages=4)
    task.progress(0.5, "page 4")
    await asyncio.sleep(1.2)
    kept = await asyncio.to_thread(task.artifacts.save, "note.txt", "text/plain", b"hello")
    with_outcome = await asyncio.to_thread(task.submit, "reverse_string", "stressed")
    at_once = await asyncio.to_thread(task.submit, "reverse_string", "desserts", key="second", now=True)
    return {
        "artifact": str(kept.id),
        "children": [str(with_outcome), str(at_once)],
        "request_id": correlation.request_id(),
    }


def _note(deed: Deed, what: str) -> None:
    if deed.path:
        with Path(deed.path).open("a") as file:
            file.write(f"{what} {time.time()}\n")


DEEDS: dict[str, Callable[[TaskContext, Deed], Awaitable[Any]]] = {
    "wait": _wait,
    "exit": _exit,
    "ignore": _ignore,
    "keep_loop": _keep_loop,
    "tell": _tell,
}
