"""Celery's own pools, driven as Celery's worker drives them: by an event loop of kombu in the main thread."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import concurrency
from celery.app.base import Celery
from kombu.asynchronous import Hub, set_event_loop

from taskledger_sdk.celery.worker import child
from taskledger_sdk.celery.worker.calls import Call, Ended
from taskledger_sdk.celery.worker.options import WorkerOptions

log = logging.getLogger("taskledger.celery")

KILL_SECONDS = 5.0  # after a TERM that a task did not end on
LOST_SECONDS = 1.0  # for the result of a child that has ended to be found in its pipe; Celery waits for 10
MAX_RESTARTS = 100  # of children in a second, as Celery's worker has it


class Loop:
    """The event loop, and what other threads want done in it."""

    def __init__(self) -> None:
        self.hub = Hub()
        set_event_loop(self.hub)
        self._inbox: deque[Callable[[], None]] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._thread = threading.get_ident()
        self.hub.add_reader(self._reader, self._run_inbox)

    def soon(self, what: Callable[[], None]) -> None:
        """Do something in the thread of the loop: at once when that is this one."""
        if threading.get_ident() == self._thread:
            what()
            return
        self._inbox.append(what)
        self.wake()

    def wake(self) -> None:
        """Have the loop look again; a signal handler may say it, too."""
        with suppress(BlockingIOError):
            self._writer.send(b"\0")

    def every(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something again and again."""
        self.hub.call_repeatedly(seconds, what)

    def later(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        """Do something once."""
        self.hub.call_later(seconds, what, *arguments)

    def turn(self) -> None:
        """Wait for what comes next, for a second at most, and do it."""
        self.hub.run_once()

    def _run_inbox(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(65536)
        while self._inbox:
            self._inbox.popleft()()


class Children:
    """A pool of Celery's, with what this worker asks of it."""

    def __init__(self, app: Celery, options: WorkerOptions, loop: Loop) -> None:
        self.limit = options.smallest or options.concurrency
        self.forks = options.pool in ("prefork", "processes")
        self._loop = loop
        self._pool = concurrency.get_implementation(options.pool)(
            self.limit,
            app=app,
            initargs=(app, options.hostname),
            maxtasksperchild=options.max_tasks_per_child or app.conf.worker_max_tasks_per_child,
            max_memory_per_child=options.max_memory_per_child or app.conf.worker_max_memory_per_child,
            timeout=options.time_limit,
            soft_timeout=options.soft_time_limit,
            putlocks=False,
            lost_worker_timeout=LOST_SECONDS,
            threads=False,
            max_restarts=MAX_RESTARTS if self.forks else None,
            sched_strategy="default",
            forking_enable=True,
        )

    def start(self) -> None:
        """Start the children: in the main thread, as the system ends each when the thread that forked it ends."""
        self._pool.start()
        self._pool.register_with_event_loop(self._loop.hub)
        self._loop.every(LOST_SECONDS, self._pool.maintain_pool)

    def run(self, call: Call, *, limits: tuple[float | None, float | None], **callbacks: Any) -> Any:
        """Hand an attempt to a free child; `limits`: hard and soft, in seconds."""
        hard, soft = limits
        return self._pool.apply_async(
            child.run, (call,), soft_timeout=soft, timeout=hard, correlation_id=call.task_id, **callbacks
        )

    def end(self, pid: int, result: Any, number: int = signal.SIGTERM) -> None:
        """End the child that runs an attempt; another takes its place."""
        result.terminate(number)
        self._pool.terminate_job(pid, number)

    def grow(self, count: int) -> None:
        """More children."""
        self._pool.grow(count)
        self.limit += count

    def shrink(self) -> bool:
        """One child less, if one is free."""
        with suppress(ValueError):
            self._pool.shrink(1)
            self.limit -= 1
            return True
        return False

    def stop(self, *, at_once: bool) -> None:
        """End all children: at once, or when they have done what they do."""
        if at_once:
            self._pool.terminate()
        else:
            self._pool.stop()


def is_ended(value: Any) -> bool:
    """Whether a pool's callback was given how an attempt ended; threads hand in an `ExceptionInfo` by the same way."""
    return isinstance(value, Ended)


def set_process_name(hostname: str) -> None:
    """As Celery's worker shows itself in a list of processes."""
    from celery import platforms

    platforms.set_mp_process_title("celeryd", info="ledger", hostname=hostname)


def is_main_process(pid: int) -> bool:
    """Whether this is still the process that started the worker; a handler of signals is inherited by children."""
    return os.getpid() == pid
