"""drill: fails for good, or works in steps until it is cancelled; for tests only."""

import time
from dataclasses import dataclass

from taskledger_sdk import PermanentError, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class Drill:
    steps: int = 1
    message: str = ""


@task_type("drill", examples=({"steps": 3},))
def drill(task: TaskContext, payload: Drill) -> int:
    """Report progress ten times a second, and fail at the end if there is a message."""
    for step in range(payload.steps):
        task.check_cancelled()
        task.progress(step / payload.steps, f"step {step} of {payload.steps}")
        task.log("stepped", step=step)
        time.sleep(0.1)
    if payload.message:
        raise PermanentError(payload.message)
    return payload.steps
