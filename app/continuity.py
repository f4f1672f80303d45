"""Since when the database has answered this process without a break: after an outage nobody is rescued too early."""

import threading
from datetime import datetime, timedelta


class Continuity:
    """Leases can only be judged by somebody who was connected for as long as their holders had to renew them."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._lock = threading.Lock()

    def answered(self, now: datetime) -> None:
        """It answered."""
        with self._lock:
            self._since = self._since or now

    def broke(self) -> None:
        """It did not."""
        with self._lock:
            self._since = None

    def for_at_least(self, span: timedelta, now: datetime) -> bool:
        """Whether it has answered for so long."""
        with self._lock:
            return self._since is not None and now - self._since >= span
