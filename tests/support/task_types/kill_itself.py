"""kill_itself: ends its own process, every time; for tests only."""

import os
import signal
import time

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@task_type("kill_itself", retry=RetryPolicy(max_retries=2, base_seconds=0.2), examples=(0.0,))
def kill_itself(_task: TaskContext, payload: float) -> None:
    """Die after so many seconds, as a segmentation fault or the kernel's memory killer would have it."""
    time.sleep(payload)
    os.kill(os.getpid(), signal.SIGKILL)
