"""Since when the database has answered this process without a break: after an outage nobody is rescued too early."""

import threading
import time
from datetime import datetime, timedelta

LONGEST_SILENCE_SECONDS = 3.0  # a stalled disk or a frozen machine raises no error, and is an outage all the same


class Continuity:
    """Leases can only be judged by somebody who was connected for as long as their holders had to renew them."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._heard = 0.0  # time.monotonic() of the last answer
        self._lock = threading.Lock()

    def answered(self, now: datetime) -> None:
        """It answered."""
        with self._lock:
            if self._is_silent_too_long():
                self._since = None
            self._since = self._since or now
            self._heard = time.monotonic()

    def broke(self) -> None:
        """It did not."""
        with self._lock:
            self._since = None

    def for_at_least(self, span: timedelta, now: datetime) -> bool:
        """Whether it has answered for so long, without a silence that was longer than workers beat."""
        with self._lock:
            return self._since is not None and not self._is_silent_too_long() and now - self._since >= span

    def _is_silent_too_long(self) -> bool:
        return time.monotonic() - self._heard > LONGEST_SILENCE_SECONDS
