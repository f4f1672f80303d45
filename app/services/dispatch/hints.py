"""What the ledger knows of hints: which were lost, which only wait, which are held back. Writes no status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import use_indexes
from app.services.dispatch import aging
from app.services.dispatch.workers import ALIVE_FOR
from app.services.lifecycle import LOOK_AGAIN, Waiting
from app.services.lifecycle.waiting import HINT_COLUMNS
from app.services.measuring import counters

MAX_LOOK = timedelta(minutes=10)
SLACK = timedelta(seconds=5)

HOLD = sa.text("""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING' AND dispatched_at = :dispatched_at
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET dispatched_at = NULL, due_at = :until
    FROM locked
    WHERE tasks.id = locked.id
""")


def hold(session: Session, ids: Sequence[UUID], *, dispatched_at: datetime, until: datetime) -> None:
    """No hint is out for these rows after all: the ledger holds them until a later moment."""
    session.execute(HOLD, {"ids": list(ids), "dispatched_at": dispatched_at, "until": until})


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclaimed:
    """A PENDING row whose hint was published and has not been claimed for longer than expected."""

    hint: Waiting
    dispatched_at: datetime
    aged: int

    def next_look(self, *, after: timedelta | None, now: datetime) -> datetime:
        """When to look again at a hint that only waits: after as long as it has waited, at its next rise at the latest.

        A backlog is hardly ever looked at, and nothing of it is published again. A rise that is due already is tried
        again soon, in case it does not succeed now. `after` is None for hints that are not to rise.
        """
        waited = now + max(LOOK_AGAIN, min(now - self.dispatched_at, MAX_LOOK))
        rise = None if after is None else self.rises_at(after)
        if rise is None:
            return waited
        return min(waited, rise if rise > now else now + LOOK_AGAIN)

    def rises_at(self, after: timedelta) -> datetime | None:
        """When it gets another hint one level higher, if ever."""
        return aging.next_step_at(self.hint.priority, self.aged, dispatched_at=self.dispatched_at, after=after)

    def risen(self, *, after: timedelta, now: datetime) -> "Unclaimed":
        """With all steps taken that are due by now: the first look may come after the moment of the second."""
        row = self
        while (at := row.rises_at(after)) is not None and at <= now:
            row = replace(row, aged=row.aged + 1)
        return row


UNCLAIMED = sa.text(f"""
    SELECT {HINT_COLUMNS}, tasks.dispatched_at, tasks.aged
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
            aged=row["aged"],
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


_KNOWN = sa.text("SELECT types FROM workers WHERE stopped_at IS NULL AND last_seen_at > :since")


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


PUBLISH_AGAIN = sa.text("""
    UPDATE tasks
    SET dispatched_at = :now, due_at = :until, aged = 0
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING'
""")
LOOK_LATER = sa.text("""
    UPDATE tasks
    SET due_at = later.due_at, aged = later.aged
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:due_ats AS timestamptz[]), CAST(:ageds AS smallint[]),
        CAST(:dispatched_ats AS timestamptz[])
    ) AS later (id, due_at, aged, dispatched_at)
    WHERE tasks.id = later.id AND status = 'PENDING' AND tasks.dispatched_at = later.dispatched_at
""")


def published_again(session: Session, rows: Sequence[Unclaimed], *, now: datetime) -> None:
    """New hints go out for these rows, which the caller has locked."""
    if rows:
        ids = [row.hint.id for row in rows]
        session.execute(PUBLISH_AGAIN, {"ids": ids, "now": now, "until": now + LOOK_AGAIN})
        counters.add(session, {counters.HINTS_REPUBLISHED: len(ids)})


def look_later(session: Session, rows: Sequence[Unclaimed], *, after: timedelta | None, now: datetime) -> None:
    """The hints of these rows only wait; rows that were dispatched anew meanwhile are left alone."""
    if rows:
        values = {
            "ids": [row.hint.id for row in rows],
            "due_ats": [row.next_look(after=after, now=now) for row in rows],
            "ageds": [row.aged for row in rows],
            "dispatched_ats": [row.dispatched_at for row in rows],
        }
        use_indexes(session)
        session.execute(LOOK_LATER, values)
