"""hold_interpreter: a C loop that never lets another thread, or a signal handler, run; for tests only."""

import itertools
import os
import time
from collections import deque
from dataclasses import dataclass

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class HoldInterpreter:
    """Where the process writes its id before it hangs."""

    path: str
    first_seconds: float = 0.0


@task_type(
    "hold_interpreter",
    retry=RetryPolicy(max_retries=0),
    grace_seconds=1,
    examples=({"path": "/tmp/pid"},),
)
def hold_interpreter(_task: TaskContext, payload: HoldInterpreter) -> None:
    """Never end: neither heartbeats nor limits of this process can do anything about it."""
    with open(payload.path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(payload.first_seconds)
    deque(itertools.repeat(None), maxlen=0)
