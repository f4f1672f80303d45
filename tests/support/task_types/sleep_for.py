"""sleep_for: occupies a worker for so many seconds; for tests only."""

import time

from taskledger_sdk import TaskContext, task_type


@task_type("sleep_for", examples=(0.1,))
def sleep_for(_task: TaskContext, payload: float) -> float:
    """Sleep, and return for how long."""
    time.sleep(payload)
    return payload
