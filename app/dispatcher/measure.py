"""Duty: measure what waits and runs, and how fast, so that whoever asks need not count."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from app.database import Session, commit_asynchronously, in_transaction
from app.models import Status
from app.services.events import outbox
from app.services.measuring import levels, stats
from app.services.measuring.flows import RateMeter, sums
from app.services.measuring.levels import Growth, Level, Levels, Total

EVERY = timedelta(seconds=2)
MAX_PAUSE = timedelta(seconds=20)
SHARE = 20  # it measures for at most one part in so many of the time, however many tasks there are
RECOUNT_EVERY = timedelta(hours=1)
GROWTH_EVERY = timedelta(seconds=20)
SUSPENDED_EVERY = timedelta(seconds=60)
LATE_EVENTS = timedelta(hours=2)  # a change may be committed, and counted, so long after its hour

Key = tuple[str, str | None, str]


class Measure:
    """One dispatcher at a time does it; the others find that it was just done."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self._totals = Totals()
        self._not_before: datetime | None = None
        self._growth: tuple[datetime, Growth] | None = None
        self._suspended: tuple[datetime, list[Level]] | None = None

    def run_once(self, now: datetime) -> int:
        """Measure, if it is time; returns 0, as there is never more of it."""
        if self._not_before is not None and now < self._not_before:
            return 0
        began = time.monotonic()
        if in_transaction(lambda session: self._measure(session, now)):
            took = timedelta(seconds=time.monotonic() - began)
            self._not_before = now + min(max(EVERY, took * SHARE), MAX_PAUSE)
        return 0

    def _measure(self, session: Session, now: datetime) -> bool:
        commit_asynchronously(session)
        last = levels.measured_at(session)
        if (last is not None and now - last < EVERY * 0.9) or not levels.lock_measuring(session):
            return False
        totals = self._totals.read(session, now)
        found = Levels(measured_at=now, levels=levels.count(session))
        long_lines = [name for name, tasks in found.by("queue", Status.PENDING).items() if tasks >= levels.LINES_FROM]
        marks = {
            (queue, each): line for queue in long_lines for each, line in levels.line_marks(session, queue).items()
        }
        levels.write(
            session,
            Levels(
                measured_at=now,
                levels=[*found.levels, *self._waiting(session, now)],
                flows=self._meter.read(sums(totals), now),
                marks=marks,
                totals=totals,
                growth=self._growing(session, now),
            ),
        )
        return True

    def _growing(self, session: Session, now: datetime) -> Growth:
        if self._growth is None or now - self._growth[0] >= GROWTH_EVERY:
            self._growth = now, levels.growth(session)
        return self._growth[1]

    def _waiting(self, session: Session, now: datetime) -> list[Level]:
        """What is WAITING, counted once a minute."""
        if self._suspended is None or now - self._suspended[0] >= SUSPENDED_EVERY:
            self._suspended = now, levels.count_suspended(session)
        return self._suspended[1]


class Totals:
    """All changes that ever were; hours that nothing is added to any more are added up once."""

    def __init__(self) -> None:
        self._closed: Counter[Key] = Counter()
        self._closed_before: datetime | None = None
        self._recount_at: datetime | None = None

    def read(self, session: Session, now: datetime) -> list[Total]:
        """By type and statuses."""
        if self._recount_at is None or now >= self._recount_at:
            self._closed, self._closed_before, self._recount_at = Counter(), None, now + RECOUNT_EVERY
        until = self._still_open(session, now)
        found = stats.changes(session, since=self._closed_before, by_hour=True)
        open_: Counter[Key] = Counter()
        for each in found:
            is_closed = each.hour is not None and each.hour < until
            (self._closed if is_closed else open_)[each.type, each.previous_status, each.status] += each.n
        self._closed_before = until
        return [
            Total(type=type_, previous_status=before, status=status, n=n)
            for (type_, before, status), n in (self._closed + open_).items()
        ]

    def _still_open(self, session: Session, now: datetime) -> datetime:
        """The first hour to which something may still be added."""
        oldest = outbox.oldest_at(session) or now
        first = min(oldest, now) - LATE_EVENTS
        hour = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self._closed_before is None else max(hour, self._closed_before)
