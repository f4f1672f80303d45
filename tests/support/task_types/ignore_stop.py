"""ignore_stop: goes on whatever is raised in it; for tests only."""

import contextlib
import time

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@task_type("ignore_stop", retry=RetryPolicy(max_retries=0), grace_seconds=1, examples=(1.0,))
def ignore_stop(_task: TaskContext, payload: float) -> float:
    """Work for so many seconds, and swallow every wish to stop."""
    end = time.monotonic() + payload
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            time.sleep(0.05)
    return payload
