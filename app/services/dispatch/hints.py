"""What the ledger knows of hints: which were lost, and which only wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import Session, use_indexes
from app.services.dispatch import boosts
from app.services.dispatch.workers import ALIVE_FOR
from app.services.lifecycle import LOOK_AGAIN, Waiting
from app.services.lifecycle import hints as rows_of_hints
from app.services.lifecycle.hints import NextLook
from app.services.lifecycle.waiting import HINT_COLUMNS
from app.services.measuring import counters

MAX_LOOK = timedelta(minutes=10)
SLACK = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclaimed:
    """A PENDING row whose hint was published and has not been claimed for longer than expected."""

    hint: Waiting
    dispatched_at: datetime
    boosts: int

    def next_look(self, *, after: timedelta | None, now: datetime) -> datetime:
        """When to look again at a hint that only waits: after as long as it has waited, or for its next boost.

        A backlog is hardly ever looked at, and nothing of it is published again. A boost that is due already is tried
        again soon, in case it does not succeed now. `after` is None for hints that get no boost.
        """
        waited = now + max(LOOK_AGAIN, min(now - self.dispatched_at, MAX_LOOK))
        boost = None if after is None else self.next_boost_at(after)
        if boost is None:
            return waited
        return min(waited, boost if boost > now else now + LOOK_AGAIN)

    def as_next_look(self, *, after: timedelta | None, now: datetime) -> NextLook:
        """What the row is to say of it."""
        return NextLook(self.hint.id, self.next_look(after=after, now=now), self.boosts, self.dispatched_at)

    def next_boost_at(self, after: timedelta) -> datetime | None:
        """When it gets another hint one level higher, if ever."""
        return boosts.next_boost_at(self.hint.priority, self.boosts, dispatched_at=self.dispatched_at, after=after)

    def boosted(self, *, after: timedelta, now: datetime) -> "Unclaimed":
        """With all boosts that are due by now: the first look may come after the moment of the second."""
        row = self
        while (at := row.next_boost_at(after)) is not None and at <= now:
            row = replace(row, boosts=row.boosts + 1)
        return row


UNCLAIMED = sa.text(f"""
    SELECT {HINT_COLUMNS}, tasks.dispatched_at, tasks.aged AS boosts
    FROM tasks
    WHERE due_at <= :now AND due_at >= :since AND status = 'PENDING' AND dispatched_at IS NOT NULL
    ORDER BY due_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
""")


def unclaimed(session: Session, *, since: datetime, now: datetime, limit: int) -> list[Unclaimed]:
    """Dispatched rows whose moment to be looked at has come, locked."""
    use_indexes(session, in_order=True)
    rows = session.execute(UNCLAIMED, {"since": since, "now": now, "limit": limit}).mappings()
    return [
        Unclaimed(
            hint=Waiting(**{name: row[name] for name in Waiting.__struct_fields__}),
            dispatched_at=row["dispatched_at"],
            boosts=row["boosts"],
        )
        for row in rows
    ]


QUEUES = sa.text("""
    SELECT DISTINCT queue
    FROM (
        SELECT queue
        FROM tasks
        WHERE due_at <= :now AND due_at >= :since AND status = 'PENDING' AND dispatched_at IS NOT NULL
        ORDER BY due_at
        LIMIT :limit
    ) AS due
    ORDER BY queue
""")


def queues_of_unclaimed(session: Session, *, since: datetime, now: datetime, limit: int) -> list[str]:
    """The queues that the next rows of `unclaimed` went to; nothing is locked."""
    use_indexes(session, in_order=True)
    return list(session.scalars(QUEUES, {"since": since, "now": now, "limit": limit}))


_KNOWN = sa.text("SELECT types FROM workers WHERE kind = 'celery' AND stopped_at IS NULL AND last_seen_at > :since")


def known_types(session: Session, *, now: datetime) -> set[str] | None:
    """The types that workers know that are alive; None when no worker is, and nothing can be said."""
    alive = session.scalars(_KNOWN, {"since": now - ALIVE_FOR}).all()
    return set().union(*alive) if alive else None


def is_lost(row: Unclaimed, *, empty_at: Mapping[str, datetime], passed: Mapping[tuple[str, str], datetime]) -> bool:
    """Whether the hint cannot be in its queue any more. Pure.

    Queues are first in, first out within a priority. A hint that was published well before its queue was seen empty, or
    before one that a worker has taken from the same queue and priority, is not there. A mistake costs a no-op hint.
    """
    newest = row.dispatched_at + SLACK
    empty = empty_at.get(row.hint.queue)
    ahead = passed.get((row.hint.queue, row.hint.priority))
    return (empty is not None and newest < empty) or (ahead is not None and newest < ahead)


def published_again(session: Session, rows: Sequence[Unclaimed], *, now: datetime) -> None:
    """New hints go out for these rows, which the caller has locked."""
    if rows:
        rows_of_hints.publish_again(session, [row.hint.id for row in rows], now=now)
        counters.add(session, {counters.HINTS_REPUBLISHED: len(rows)})


def look_later(session: Session, rows: Sequence[Unclaimed], *, after: timedelta | None, now: datetime) -> None:
    """The hints of these rows only wait; rows that were dispatched anew meanwhile are left alone."""
    if rows:
        rows_of_hints.look_later(session, [row.as_next_look(after=after, now=now) for row in rows])
