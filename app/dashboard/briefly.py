"""What is expensive to look up is kept for a moment, so that many viewers cost no more than one."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_KEPT = 1000


class Briefly(Generic[T]):
    """Values by key, each for so many seconds; one thread looks up what several ask for at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: dict[Hashable, tuple[float, T]] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, look_up: Callable[[], T]) -> T:
        """The value, looked up unless it was a moment ago. What `look_up` raises is raised, and not kept."""
        with self._lock:
            if len(self._kept) > MAX_KEPT:
                self._kept.clear()
                self._locks.clear()
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            kept = self._kept.get(key)
            if kept is None or time.monotonic() - kept[0] > self._seconds:
                kept = self._kept[key] = (time.monotonic(), look_up())
            return kept[1]

    def forget(self) -> None:
        """Look up anew."""
        self._kept.clear()
