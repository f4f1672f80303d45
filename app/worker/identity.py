"""Who this worker is: one id for each life of its parent process, inherited by the children it forks."""

import os
import socket
from uuid import uuid4

_worker_id: str | None = None
_is_solo = False


def begin(node: str, *, is_solo: bool = False) -> str:
    """A new life of the worker called `node`; called once in the parent, before it forks.

    `is_solo`: whether handlers run in the parent itself, which talks to its broker between them only.
    """
    global _worker_id, _is_solo
    _worker_id, _is_solo = f"{node}/{uuid4().hex[:8]}", is_solo
    return _worker_id


def is_solo() -> bool:
    """Whether nobody talks to the broker while a handler runs here."""
    return _is_solo


def worker_id() -> str:
    """The id of this worker; a process that is no Celery worker (a test, say) gets one of its own."""
    return _worker_id or begin(f"process-{os.getpid()}@{socket.gethostname()}")


def pid() -> int:
    """The process that runs the handler."""
    return os.getpid()
