"""fail_sometimes: raises in some of its runs; for tests only."""

import random
import time
from dataclasses import dataclass

from taskledger_sdk import RetryPolicy, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class FailSometimes:
    """How long to work, and in how many of a hundred runs to fail."""

    seconds: float = 0.0
    percent: int = 10


@task_type("fail_sometimes", retry=RetryPolicy(max_retries=50, base_seconds=0.05, cap_seconds=0.2), examples=({},))
def fail_sometimes(_task: TaskContext, payload: FailSometimes) -> str:
    """Work, and then fail by chance."""
    time.sleep(payload.seconds)
    if random.randrange(100) < payload.percent:
        raise RuntimeError("by chance")
    return "done"
