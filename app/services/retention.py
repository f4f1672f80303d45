"""Forgetting what is old: tasks by status, whole days of history, idempotency keys, workers that are long gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, commit_asynchronously
from app.models import Status
from app.services.idempotency import KEPT
from app.services.remote import claiming

BATCH = 500
PARTITIONS_AHEAD = 7  # days
WORKERS_KEPT = timedelta(days=7)
FIRST_ID = UUID(int=0)
BETWEEN_ROUNDS = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ages:
    """How old something may become; None keeps it for ever."""

    by_status: Mapping[Status, timedelta]
    events: timedelta | None

    @classmethod
    def in_days(cls, *, completed: int, failed: int, cancelled: int, events: int) -> "Ages":
        """From numbers of days, where 0 means for ever."""
        days = {Status.COMPLETED: completed, Status.FAILED: failed, Status.CANCELLED: cancelled}
        kept = {status: timedelta(days=number) for status, number in days.items() if number}
        return cls(by_status=kept, events=timedelta(days=events) if events else None)


# Ids sort by creation, so the primary key is the index of age: a look begins where the last one ended.
_OLD = sa.text("SELECT id, status, finished_at FROM tasks WHERE id > :after AND id < :before ORDER BY id LIMIT :limit")
_DELETE = sa.text("""
    WITH gone AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[]))
            AND finished_at IS NOT NULL
            -- Tasks of a run go with it; those that it no longer knew (a compensation that failed, and was
            -- followed by another) go by their own age once it is gone.
            AND (run_id IS NULL OR NOT EXISTS (SELECT FROM workflow_runs WHERE workflow_runs.id = tasks.run_id))
            -- A durable handler reads what its children have returned, in a replay, too; so do other steps of a run
            -- what the items of one have returned, and the step's task is there as long as the run. A handler that has
            -- begun anew since asks for none of those that it had before.
            AND NOT EXISTS (
                SELECT FROM tasks AS parent
                WHERE parent.id = tasks.parent_id AND (parent.status <> 'COMPLETED' OR parent.run_id IS NOT NULL)
                    AND (
                        tasks.step IS NULL
                        OR EXISTS (
                            SELECT FROM task_steps AS step
                            WHERE step.task_id = parent.id AND step.name = tasks.step AND step.child_id = tasks.id
                        )
                    )
            )
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ), log AS (DELETE FROM task_log USING gone WHERE task_log.task_id = gone.id),
    sent AS (DELETE FROM signals USING gone WHERE signals.target = gone.id)
    DELETE FROM tasks USING gone
    WHERE tasks.id = gone.id
    RETURNING tasks.id
""")


class Pruner:
    """Walks over the old tasks from the oldest on, a batch at a time, and begins anew when it has seen them all."""

    def __init__(self) -> None:
        self._after = FIRST_ID
        self._rest_until: datetime | None = None

    def prune_tasks(self, session: Session, ages: Ages, *, now: datetime) -> int:
        """Look at the next batch; returns how many rows were looked at, 0 at the end of a round."""
        if not ages.by_status or (self._rest_until is not None and now < self._rest_until):
            return 0
        # What a crash brings back is deleted again: nobody need wait for the disk, least of all those who submit.
        commit_asynchronously(session)
        newest = first_id_at(now - min(ages.by_status.values()))
        rows = session.execute(_OLD, {"after": self._after, "before": newest, "limit": BATCH}).all()
        old = [row.id for row in rows if _is_old(row.status, row.finished_at, ages, now)]
        if old:
            session.execute(_DELETE, {"ids": old})
        if len(rows) == BATCH:
            self._after, self._rest_until = rows[-1].id, None
            return len(rows)
        self._after, self._rest_until = FIRST_ID, now + BETWEEN_ROUNDS
        return 0


def _is_old(status: str, finished_at: datetime | None, ages: Ages, now: datetime) -> bool:
    kept = ages.by_status.get(Status(status))
    return kept is not None and finished_at is not None and finished_at < now - kept


def first_id_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 of a moment: its first 48 bits are milliseconds since 1970."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def prune_idempotency_keys(session: Session, *, now: datetime) -> int:
    """Delete a batch of keys that have been kept long enough; returns how many."""
    statement = sa.text("""
        DELETE FROM idempotency_keys
        WHERE ctid = ANY(
            ARRAY(SELECT ctid FROM idempotency_keys WHERE created_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED)
        )
        RETURNING 1
    """)
    return len(session.execute(statement, {"before": now - KEPT, "limit": BATCH}).all())


def prune_work_claims(session: Session, *, now: datetime) -> None:
    """Forget claims of remote workers that are a day old: nobody asks for their tasks again."""
    claiming.forget(session, before=now - KEPT)


def prune_workers(session: Session, *, now: datetime) -> None:
    """Forget workers that were not seen for a week."""
    session.execute(sa.text("DELETE FROM workers WHERE last_seen_at < :before"), {"before": now - WORKERS_KEPT})


def prune_event_batches(session: Session, *, before: datetime) -> int:
    """Forget a batch of numbers whose events are dropped; the newest stays, as numbering goes on from it."""
    statement = sa.text("""
        DELETE FROM event_batches
        WHERE first_position = ANY(
            ARRAY(
                SELECT first_position
                FROM event_batches
                WHERE published_at < :before
                    AND newest_at < :before
                    AND last_position < (SELECT max(last_position) FROM event_batches)
                ORDER BY first_position
                LIMIT :limit
            )
        )
        RETURNING 1
    """)
    return len(session.execute(statement, {"before": before, "limit": BATCH}).all())


_PARTITIONS = sa.text("""
    SELECT relname
    FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'public.task_events'::regclass AND relname ~ '^task_events_p[0-9]{8}$'
""")


def make_event_partitions(session: Session, *, now: datetime) -> None:
    """Make the partitions of the days ahead. Raises OperationalError 55P03 when somebody reads the history now."""
    if _may_change_partitions(session):
        parameters = {"first": now.date(), "days": PARTITIONS_AHEAD}
        session.execute(sa.text("SELECT taskledger.make_event_partitions(:first, :days)"), parameters)


def drop_event_partitions(session: Session, ages: Ages, *, now: datetime) -> None:
    """Drop the partitions whose every event is too old. Raises OperationalError 55P03 as above."""
    if ages.events is None or not _may_change_partitions(session):
        return
    oldest = (now - ages.events).strftime("task_events_p%Y%m%d")
    for name in session.scalars(_PARTITIONS).all():
        if name < oldest:
            session.execute(sa.text(f"DROP TABLE public.{name}"))


_PRUNE_DEFAULT = sa.text("""
    DELETE FROM task_events_default
    WHERE ctid = ANY(ARRAY(SELECT ctid FROM task_events_default WHERE at < :before LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING 1
""")


def prune_default_events(session: Session, ages: Ages, *, now: datetime) -> int:
    """Delete a batch of old events of days that had no partition of their own; returns how many."""
    if ages.events is None:
        return 0
    return len(session.execute(_PRUNE_DEFAULT, {"before": now - ages.events, "limit": BATCH}).all())


def _may_change_partitions(session: Session) -> bool:
    # Every insert queues behind our wait for ACCESS EXCLUSIVE, and we wait for every reader: a moment, then, no more.
    session.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))
    # Two dispatchers must not make the same partition; the second has nothing to do.
    return bool(session.scalar(sa.text("SELECT pg_try_advisory_xact_lock(hashtext('taskledger.event_partitions'))")))
