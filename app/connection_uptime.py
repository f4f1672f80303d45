"""Since when the database has answered this process without a break: after an outage nobody is rescued too early."""

import threading
from collections.abc import Callable
from datetime import timedelta

from app import clock

MAX_SILENCE_SECONDS = 3.0  # a stalled disk or a frozen machine raises no error, and is an outage all the same


class ConnectionUptime:
    """Leases can only be judged by somebody who was connected for as long as their holders had to renew them.

    Measured by a clock that nobody sets: after a step of the time of day it would seem to have lasted for an hour.
    """

    def __init__(self, steady: Callable[[], float] = clock.steady) -> None:
        self._steady = steady
        self._since: float | None = None
        self._heard = 0.0  # of the last answer
        self._lock = threading.Lock()

    def answered(self) -> None:
        """It answered."""
        with self._lock:
            if self._is_silent_too_long():
                self._since = None
            self._heard = self._steady()
            self._since = self._heard if self._since is None else self._since

    def broke(self) -> None:
        """It did not."""
        with self._lock:
            self._since = None

    def has_lasted(self, span: timedelta) -> bool:
        """Whether it has answered for so long, without a silence that was longer than workers beat."""
        with self._lock:
            if self._since is None or self._is_silent_too_long():
                return False
            return self._steady() - self._since >= span.total_seconds()

    def _is_silent_too_long(self) -> bool:
        return self._steady() - self._heard > MAX_SILENCE_SECONDS
