"""share_hint: a type whose tasks travel in chunks, and that leaves a trace of every run; for tests only."""

import time
from dataclasses import dataclass

from taskledger_sdk import PermanentError, RetryPolicy, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class ShareHint:
    """Where to write, how long to work, and how to end."""

    path: str
    seconds: float = 0.0
    fails: bool = False
    reports: bool = False


@task_type(
    "share_hint",
    retry=RetryPolicy(max_retries=3, base_seconds=0.2, cap_seconds=0.5),
    examples=({"path": "/tmp/runs"},),
    timeout_seconds=5,
    grace_seconds=5,
    chunk=20,
    max_seconds_each=1.0,
)
def share_hint(task: TaskContext, payload: ShareHint) -> int:
    """Append a line, work, and return the number of the attempt."""
    with open(payload.path, "a") as file:
        file.write(f"{task.id} {task.attempt}\n")
    end = time.monotonic() + payload.seconds
    while time.monotonic() < end:
        time.sleep(0.02)
        if payload.reports:
            task.progress(0.5, "half of it")
    if payload.fails:
        raise PermanentError("told to fail")
    return task.attempt
