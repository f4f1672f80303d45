"""The one clock: the host's, corrected by its measured distance from PostgreSQL's."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MEASURE_EVERY_SECONDS = 60.0

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
    """Set the offset from a DB-API connection; half of the round trip is the error."""
    global _offset, _measured_at
    cursor = connection.cursor()
    before = datetime.now(UTC)
    cursor.execute("SELECT clock_timestamp()")
    theirs = cursor.fetchone()[0]
    after = datetime.now(UTC)
    cursor.close()
    _offset = theirs - (before + (after - before) / 2)
    _measured_at = time.monotonic()
