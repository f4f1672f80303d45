"""The one clock: the host's, corrected by its measured distance from PostgreSQL's."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MEASURE_EVERY_SECONDS = 60.0
LONGEST_ROUND_TRIP_SECONDS = 0.5
MORE_QUESTIONS = 4

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
    """Set the offset from a DB-API connection, by the soonest of several answers; half of its round trip is the error.

    Answers that take long (a paused machine, a server that swaps) are ignored, unless they are the first ones.
    """
    global _offset, _measured_at
    cursor = connection.cursor()
    round_trip, offset = _ask(cursor)
    for _ in range(MORE_QUESTIONS if round_trip <= LONGEST_ROUND_TRIP_SECONDS else 0):
        round_trip, offset = min((round_trip, offset), _ask(cursor))
    cursor.close()
    if round_trip > LONGEST_ROUND_TRIP_SECONDS and _measured_at is not None:
        return
    _offset, _measured_at = offset, time.monotonic()


def _ask(cursor: _Cursor) -> tuple[float, timedelta]:
    """The round trip in seconds, and how far ahead PostgreSQL's clock is."""
    asked_at = time.monotonic()  # the host's clock may be set while we wait
    cursor.execute("SELECT clock_timestamp()")
    theirs = cursor.fetchone()[0]
    ours, round_trip = datetime.now(UTC), time.monotonic() - asked_at
    return round_trip, theirs - (ours - timedelta(seconds=round_trip / 2))


def rfc_3339(moment: datetime) -> str:
    """2026-01-31T09:00:00.250000Z, from an aware moment in any zone: how every answer and message of ours writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
