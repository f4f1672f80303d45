"""Deadline: one limit for a whole exchange over sockets, whatever a peer does in between."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar, cast

Result = TypeVar("Result")


class DeadlinePassed(OSError):
    """The time for the exchange is over; an OSError, so that libraries clean up as after any network error."""


class Deadline:
    """Ends an exchange after `seconds` in total: use it as a context, and guard every socket of the exchange.

    Timeouts of sockets cannot do this: they begin anew with each byte, and a peer may send one every few seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            for guarded in self._sockets:
                guarded.close()
            self._sockets.clear()

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._ends_at

    def remaining(self) -> float:
        """Seconds left. Raises DeadlinePassed when there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise DeadlinePassed(f"it took longer than {self.seconds:g} s")
        return left

    def guard(self, connected: socket.socket) -> socket.socket:
        """Have this socket shut down at the deadline: whoever reads from or writes to it then stops waiting."""
        self.remaining()
        # A duplicate, because TLS takes the descriptor out of the socket it wraps; shutting down reaches both.
        with self._lock:
            self._sockets.append(connected.dup())
        return connected

    def wait_for(self, work: Callable[[], Result]) -> Result:
        """Do work that cannot be interrupted (getaddrinfo) in a thread of its own, and not wait past the deadline."""
        answers: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                answers.put((work(), None))
            except BaseException as error:  # noqa: BLE001 (handed over, and raised by the caller below)
                answers.put((None, error))

        threading.Thread(target=run, name="resolver", daemon=True).start()
        try:
            result, error = answers.get(timeout=self.remaining())
        except Empty:
            raise DeadlinePassed(f"it took longer than {self.seconds:g} s") from None
        if error is not None:
            raise error
        return cast("Result", result)  # None only if the work returned it

    def _end(self) -> None:
        with self._lock:
            if self._closed:
                return
            for guarded in self._sockets:
                with suppress(OSError):  # the peer was quicker
                    guarded.shutdown(socket.SHUT_RDWR)
