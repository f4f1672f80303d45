"""read_clock: tells when its handler was entered; for benchmarks and tests only."""

import time

from taskledger_sdk import TaskContext, task_type


@task_type("read_clock", examples=("hello world",), chunk=200, max_seconds_each=0.1)
def read_clock(task: TaskContext, payload: str) -> float:
    """Return this host's clock, in seconds since 1970."""
    return time.time()
