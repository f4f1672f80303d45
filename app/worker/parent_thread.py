"""A small thread of the worker's parent process: its event loop hands over what needs the database, and goes on."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


class ParentThread(Generic[T]):
    """Does one thing after the other; one that fails is logged, and the thread goes on."""

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._name = name
        self._work = work
        self._queue: queue.Queue[T] = queue.Queue()

    def start(self) -> None:
        """Begin; called in the parent."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def put(self, item: T) -> None:
        """Hand one thing over; returns at once."""
        self._queue.put(item)

    def join(self, seconds: float) -> None:
        """Wait until all that was handed over is done, so long at most."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.05)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            try:
                self._work(item)
            except Exception as error:  # noqa: BLE001 (the thread goes on with the next)
                log.error("parent_thread_failed", thread=self._name, item=str(item), error=str(error))
            finally:
                self._queue.task_done()
