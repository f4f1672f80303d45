"""The one clock: PostgreSQL's, carried on between measurements by a clock of the host that nobody sets.

The host's own time of day is never asked once PostgreSQL has answered: an operator, NTP or a suspended machine may set
it by an hour, and would end leases and tasks that are well.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

MEASURE_EVERY_SECONDS = 60.0
MAX_ROUND_TRIP_SECONDS = 0.5
MORE_QUESTIONS = 4
STEP = timedelta(seconds=2)  # more than clocks drift apart in a minute


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


steady: Callable[[], float] = _boot_seconds if sys.platform == "linux" else time.monotonic
"""Seconds that pass evenly; on Linux, those in which the machine was suspended count, too."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """PostgreSQL's time at a moment of the steady clock."""

    theirs: datetime
    at: float


_measured: _Measured | None = None
_is_doubtful = False  # PostgreSQL told another time than ours since it was measured


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def fetchone(self) -> tuple[datetime]: ...
    def close(self) -> None: ...


class _Connection(Protocol):
    def cursor(self) -> _Cursor: ...


def utcnow() -> datetime:
    """Now, aware and in UTC, as PostgreSQL would say it (within the last measurement's error)."""
    measured = _measured
    if measured is None:
        return datetime.now(UTC)
    return measured.theirs + timedelta(seconds=steady() - measured.at)


def is_stale() -> bool:
    """Whether PostgreSQL should be asked again."""
    return _measured is None or _is_doubtful or steady() - _measured.at > MEASURE_EVERY_SECONDS


def agrees(theirs: datetime) -> bool:
    """Whether PostgreSQL has just told the time that we have. If not, its clock was set, and is asked again soon."""
    global _is_doubtful
    _is_doubtful = _is_doubtful or abs(theirs - utcnow()) > STEP
    return not _is_doubtful


def measure(connection: _Connection) -> None:
    """Ask PostgreSQL for its time over a DB-API connection; of several answers the soonest counts.

    Half of its round trip is the error. Answers that take long (a paused machine, a server that swaps) are ignored,
    unless they are the first ones.
    """
    global _measured, _is_doubtful
    cursor = connection.cursor()
    round_trip, measured = _ask(cursor)
    for _ in range(MORE_QUESTIONS if round_trip <= MAX_ROUND_TRIP_SECONDS else 0):
        again, later = _ask(cursor)
        if again < round_trip:
            round_trip, measured = again, later
    cursor.close()
    if round_trip > MAX_ROUND_TRIP_SECONDS and _measured is not None:
        return
    _tell_steps(measured)
    _measured, _is_doubtful = measured, False


def _ask(cursor: _Cursor) -> tuple[float, _Measured]:
    """The round trip in seconds, and PostgreSQL's time in its middle."""
    asked_at = steady()
    cursor.execute("SELECT clock_timestamp()")
    theirs = cursor.fetchone()[0]
    round_trip = steady() - asked_at
    return round_trip, _Measured(theirs, asked_at + round_trip / 2)


def _tell_steps(measured: _Measured) -> None:
    """Say that PostgreSQL's clock was set: nothing here depends on it, but whoever reads moments wants to know."""
    if _measured is None:
        return
    step = (measured.theirs - _measured.theirs) - timedelta(seconds=measured.at - _measured.at)
    if abs(step) > STEP:
        log.warning("database_clock_stepped", seconds=round(step.total_seconds(), 1))


def rfc_3339(moment: datetime) -> str:
    """2026-01-31T09:00:00.250000Z, from an aware moment in any zone: how every answer and message of ours writes it."""
    return f"{moment.astimezone(UTC).isoformat()[:-6]}Z"  # without +00:00
