"""A warm shutdown that ends: handlers that still run after the grace period give their task back."""

import contextlib
import os
import signal
import threading
import time
from typing import Any

import structlog
from celery.worker import state

from app.worker.lost_children import LOST
from app.worker.stopping import GIVE_BACK_SIGNAL

log = structlog.get_logger(__name__)

GRACE_AFTER_SIGNAL_SECONDS = 8.0


class Shutdown:
    """Bounds a warm shutdown: handlers that still run after the grace period give their task back."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self, grace_seconds: float) -> None:
        """The worker was asked to stop; it has stopped to take hints, its children finish what they run."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, args=(grace_seconds,), name="shutdown", daemon=True).start()

    def _run(self, grace_seconds: float) -> None:
        time.sleep(grace_seconds)
        for request in _in_children():
            signal_child(request.worker_pid, GIVE_BACK_SIGNAL)
        time.sleep(GRACE_AFTER_SIGNAL_SECONDS)
        for request in _in_children():
            log.error("handler_killed", pid=request.worker_pid, why="it did not stop when the worker shut down")
            signal_child(request.worker_pid, signal.SIGKILL)
            LOST.put(request, ShutdownKill("killed at shutdown"), by_shutdown=True)
        LOST.join(5)


class ShutdownKill(Exception):
    """The parent killed a child that would not stop."""


def _in_children() -> list[Any]:
    """In a pool of threads there are none: there a shutdown waits for what runs."""
    return [request for request in active_requests() if request.worker_pid != os.getpid()]


def active_requests() -> list[Any]:
    """The hints that children of this worker have in work."""
    while True:
        try:
            return [request for request in state.active_requests if request.worker_pid]
        except RuntimeError:  # changed while it was read
            continue


def signal_child(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


SHUTDOWN = Shutdown()
