"""A gate that lets a bounded number of threads through at a time, in the order in which they came."""

import threading
from collections import deque
from functools import cache
from types import TracebackType

from app.config import get_settings


class FairGate:
    """Use it as a context: at most `places` threads are in it, and who has waited longest is next.

    For the pool of connections, of which a process has far fewer than threads. The pool itself opens further ones for a
    crowd and closes them at once, again and again; and who waits there may be overtaken for so long that its hint is
    taken for lost.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:  # a signal ends the process
            self._give_up(mine)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()  # hands its place over: nobody who comes now is quicker
            else:
                self._free += 1

    def _give_up(self, mine: threading.Lock) -> None:
        with self._lock:
            is_waiting = mine in self._waiting
            if is_waiting:
                self._waiting.remove(mine)
        if not is_waiting:
            self._leave()  # it had just been handed a place


@cache
def connections() -> FairGate:
    """The gate of this process: as many threads claim or record at a time as a pool keeps connections."""
    return FairGate(get_settings().database_pool_size)
