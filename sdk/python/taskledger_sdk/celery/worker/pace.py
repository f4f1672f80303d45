"""How many tasks are claimed ahead: none while tasks take long, many while each takes a millisecond."""

from __future__ import annotations

import time

AHEAD_SECONDS = 0.1
"""So much work is claimed ahead: a claim and an answer take some milliseconds, in which children would be idle."""
MOST_AHEAD = 150
LATE_SECONDS = 1.0
"""What was claimed so long ago and has not begun is given back."""
WEIGHT = 0.1  # of the newest run in the average
SPARE_SECONDS = 30.0  # a child that was free for so long is one too many


class Pace:
    """What recent attempts took."""

    def __init__(self) -> None:
        self._average: float | None = None
        self._spare_since: float | None = None

    def ran(self, seconds: float) -> None:
        """An attempt took so long."""
        before = self._average
        self._average = seconds if before is None else before + WEIGHT * (seconds - before)

    def was_late(self) -> None:
        """What was claimed ahead had to go back: nothing more is, until short attempts have ended."""
        self._average = max(self._average or 0.0, LATE_SECONDS)

    def ahead(self, children: int) -> int:
        """How many tasks may wait here for so many children."""
        if self._average is None:
            return 0
        return min(MOST_AHEAD, int(children * AHEAD_SECONDS / max(self._average, 0.0005)))

    def is_late(self, claimed_at: float, now: float) -> bool:
        """Whether a task that was claimed then should have begun."""
        return now - claimed_at > LATE_SECONDS

    def has_spare_child(self, running: int, children: int) -> bool:
        """Whether fewer children would have sufficed for a while."""
        if running >= children:
            self._spare_since = None
            return False
        self._spare_since = self._spare_since or time.monotonic()
        return time.monotonic() - self._spare_since > SPARE_SECONDS
