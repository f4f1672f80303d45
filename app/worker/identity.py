"""Who this worker is: one id for each life of its parent process, inherited by the children it forks."""

import os
import socket
from uuid import uuid4

_worker_id: str | None = None


def begin(node: str) -> str:
    """A new life of the worker called `node`; called once in the parent, before it forks."""
    global _worker_id
    _worker_id = f"{node}/{uuid4().hex[:8]}"
    return _worker_id


def worker_id() -> str:
    """The id of this worker; a process that is no Celery worker (a test, say) gets one of its own."""
    return _worker_id or begin(f"process-{os.getpid()}@{socket.gethostname()}")


def pid() -> int:
    """The process that runs the handler."""
    return os.getpid()
