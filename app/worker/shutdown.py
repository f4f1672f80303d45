"""A warm shutdown that ends: handlers that still run after the grace period give their task back."""

import contextlib
import os
import signal
import threading
import time
from typing import Any

import billiard
import structlog
from celery.worker import state

from app import watchdog
from app.worker import heartbeat
from app.worker.lost_children import LOST
from app.worker.stopping import GIVE_BACK_SIGNAL

log = structlog.get_logger(__name__)

GRACE_AFTER_SIGNAL_SECONDS = 8.0
RECORD_SECONDS = 2.0  # after that, to record what was killed, and to close connections
CLOSING_SECONDS = 10.0  # for a worker that has nothing in work; it takes three where the broker answers
LOOK_SECONDS = 0.1


class Shutdown:
    """Bounds a shutdown: what does not end by itself gives its task back, is killed, and so is the worker at last."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self, grace_seconds: float) -> None:
        """The worker was asked to stop; it has stopped to take hints, its children finish what they run."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, args=(grace_seconds,), name="shutdown", daemon=True).start()
            self.end_within(grace_seconds + GRACE_AFTER_SIGNAL_SECONDS + RECORD_SECONDS)

    def end_within(self, seconds: float) -> None:
        """End the worker after so many seconds. A broker that answers nothing would keep it for ever."""
        watchdog.end_within(seconds, before=_kill_children)

    def _run(self, grace_seconds: float) -> None:
        _wait_for_work(grace_seconds)
        heartbeat.HEARTBEAT.stop_threads()
        for request in _in_children():
            signal_child(request.worker_pid, GIVE_BACK_SIGNAL)
        _wait_for_work(GRACE_AFTER_SIGNAL_SECONDS)
        for request in active_requests():
            if request.worker_pid != os.getpid():
                log.error("handler_killed", pid=request.worker_pid, why="it did not stop when the worker shut down")
                signal_child(request.worker_pid, signal.SIGKILL)
            LOST.put(request, ShutdownKill("killed at shutdown"), by_shutdown=True)
        LOST.join(RECORD_SECONDS)
        if any(request.worker_pid == os.getpid() for request in active_requests()):
            watchdog.end_now("handlers did not stop in a pool of threads; their tasks were given back")


class ShutdownKill(Exception):
    """The parent killed a child that would not stop."""


def _wait_for_work(seconds: float) -> None:
    """Return after so many seconds. A worker that has had nothing in work for a while is stuck: it is ended."""
    end, idle_since = time.monotonic() + seconds, time.monotonic()
    while (now := time.monotonic()) < end:
        if active_requests():
            idle_since = now
        elif now - idle_since > CLOSING_SECONDS:
            watchdog.end_now("it has no work left, and did not end: its broker does not answer", before=_kill_children)
        time.sleep(LOOK_SECONDS)


def _kill_children() -> None:
    """Children of a parent that is gone would wait for hints for ever; each leads a process group."""
    for child in billiard.active_children():
        if child.pid is None:
            continue
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        signal_child(child.pid, signal.SIGKILL)


def _in_children() -> list[Any]:
    """In a pool of threads there are none."""
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
