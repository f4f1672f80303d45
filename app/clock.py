"""The one clock: the host's, corrected by its measured distance from PostgreSQL's."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MEASURE_EVERY_SECONDS = 60.0
LONGEST_ROUND_TRIP_SECONDS = 0.5

_offset = timedelta(0)
_measured_at: float | None = None  # time.monotonic() of the last measurement


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def fetchone(self) -> tuple[datetime]: ...
    def close(self) -> None: ...


class _Connection(Protocol):
    def cursor(self) -> _Cursor: ...


def utcnow() -> datetime:
    """Now, aware and in UTC, as PostgreSQL would say it (within the last measurement's error)."""
    return datetime.now(UTC) + _offset


def is_stale() -> bool:
    """Whether the offset should be measured again."""
    return _measured_at is None or time.monotonic() - _measured_at > MEASURE_EVERY_SECONDS


def measure(connection: _Connection) -> None:
    """Set the offset from a DB-API connection; half of the round trip is the error.

    An answer that took long (a paused machine, a server that swaps) is ignored, unless it is the first one.
    """
    global _offset, _measured_at
    cursor = connection.cursor()
    asked_at = time.monotonic()  # the host's clock may be set while we wait
    cursor.execute("SELECT clock_timestamp()")
    theirs = cursor.fetchone()[0]
    ours, answered_at = datetime.now(UTC), time.monotonic()
    cursor.close()
    if answered_at - asked_at > LONGEST_ROUND_TRIP_SECONDS and _measured_at is not None:
        return
    _offset = theirs - (ours - timedelta(seconds=(answered_at - asked_at) / 2))
    _measured_at = answered_at
