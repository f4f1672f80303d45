"""read_clock: tells when its handler was entered. From before there was an SDK, so that earlier versions know it."""

import time

from tasks import TaskContext, task_type


@task_type("read_clock", examples=("hello world",), chunk=200, max_seconds_each=0.1)
def read_clock(task: TaskContext, payload: str) -> float:  # noqa: ARG001
    """Return this host's clock, in seconds since 1970."""
    return time.time()
