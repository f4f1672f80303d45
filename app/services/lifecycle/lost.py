"""Attempts whose worker is gone: found by the parent process or the dispatcher, never by the worker itself."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import NOT_PARKED
from app.services.lifecycle.claims import give_back
from app.services.lifecycle.outcomes import fail, retry_later, stopped
from app.services.lifecycle.statements import Claim
from app.services.recovery.failures import Failure


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldTask:
    """A leased task whose worker is gone, as its row has it; the row is locked."""

    id: UUID
    type: str
    payload: Any
    attempt: int
    retries_used: int
    max_retries: int
    timeout_seconds: int | None
    priority: str
    queue: str
    unchunked: bool
    dispatched_at: datetime | None
    lease: UUID
    leased_by: str
    started_at: datetime
    cancel_requested_at: datetime | None

    @property
    def claim(self) -> Claim:
        """The claim that the lost worker had."""
        return Claim(
            lease=self.lease,
            lease_seconds=0,
            id=self.id,
            type=self.type,
            payload=self.payload,
            attempt=self.attempt,
            retries_used=self.retries_used,
            max_retries=self.max_retries,
            timeout_seconds=self.timeout_seconds,
            priority=self.priority,
            queue=self.queue,
            dispatched_at=self.dispatched_at,
        )


OF_REMOTE = "remote/"
"""How the ids of remote workers begin."""

# How long until the next attempt of a task that has used `retries_used` of its retries.
Backoff = Callable[[str, int], timedelta]

_HELD = """
    SELECT id, type, payload, attempt, attempt - attempt_base - 1 AS retries_used, max_retries, timeout_seconds,
        priority, queue, solo AS unchunked, dispatched_at, lease, leased_by, started_at, cancel_requested_at
    FROM tasks
    WHERE status = 'PROCESSING' AND {which}
    ORDER BY id {limit}
    FOR UPDATE SKIP LOCKED
"""
HELD_BY_PROCESS = sa.text(
    _HELD.format(which="id = ANY(CAST(:ids AS uuid[])) AND leased_by = :worker AND leased_pid = :pid", limit="")
)
HELD_TOO_LONG = sa.text(_HELD.format(which="id = ANY(CAST(:ids AS uuid[])) AND due_at <= :before", limit=""))
OVERDUE = sa.text("""
    SELECT id, lease
    FROM tasks
    WHERE status = 'PROCESSING'
        AND due_at <= :before
        AND due_at >= :since
        AND (due_at <= :remote_before OR NOT starts_with(leased_by, :of_remote))
    ORDER BY due_at
    LIMIT :limit
""")
# Shared locks: two dispatchers may look at once.
LOCKED_BY_NOBODY = sa.text(
    "SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR SHARE SKIP LOCKED"
)
HELD_BY_WORKERS = sa.text(
    _HELD.format(which=f"{NOT_PARKED} AND leased_by = ANY(CAST(:workers AS text[]))", limit="LIMIT :limit")
)
HELD_BY_ANYBODY = sa.text(_HELD.format(which=NOT_PARKED, limit="LIMIT :limit"))


def of_process(session: Session, ids: Sequence[UUID], *, worker: str, pid: int) -> list[HeldTask]:
    """Tasks of a hint that a dead child process still holds, locked."""
    return _rows(session, HELD_BY_PROCESS, ids=list(ids), worker=worker, pid=pid)


def overdue(
    session: Session, *, since: datetime, before: datetime, remote_before: datetime, limit: int
) -> list[tuple[UUID, UUID]]:
    """Ids and leases of tasks whose lease expired between two moments; of remote workers, until another one."""
    parameters = {"since": since, "before": before, "remote_before": min(before, remote_before), "limit": limit}
    rows = session.execute(OVERDUE, {**parameters, "of_remote": OF_REMOTE})
    return [(row.id, row.lease) for row in rows]


def locked_by_nobody(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Those of these tasks whose row their child could renew now."""
    return set(session.scalars(LOCKED_BY_NOBODY, {"ids": list(ids)}))


def of_expired(session: Session, ids: Sequence[UUID], *, before: datetime) -> list[HeldTask]:
    """Those of these tasks whose lease expired before a moment, locked."""
    return _rows(session, HELD_TOO_LONG, ids=list(ids), before=before)


def of_workers(session: Session, workers: Iterable[str], *, limit: int) -> list[HeldTask]:
    """Tasks leased to workers that are gone, locked."""
    return _rows(session, HELD_BY_WORKERS, workers=list(workers), limit=limit)


def of_anybody(session: Session, *, limit: int) -> list[HeldTask]:
    """Tasks that are leased at all, locked."""
    return _rows(session, HELD_BY_ANYBODY, limit=limit)


def move_on(
    session: Session, rows: Sequence[HeldTask], failure: Failure, *, backoff: Backoff, now: datetime
) -> list[Claim]:
    """Count the lost attempt: retry after the backoff, FAILED when no retry is left, CANCELLED when that was asked.

    Returns those that are FAILED.
    """
    dead = []
    for row in rows:
        claim = row.claim
        if row.cancel_requested_at is not None:
            stopped(session, claim, receipt="killed", now=now)
        elif claim.retries_used < claim.max_retries:
            due_at = now + backoff(claim.type, claim.retries_used + 1)
            retry_later(session, claim, failure, due_at=due_at, now=now)
        else:
            fail(session, claim, failure, now=now, reason="its worker was lost, and no retry is left")
            dead.append(claim)
    return dead


def return_uncounted(session: Session, rows: Sequence[HeldTask], *, reason: str, now: datetime) -> None:
    """Return the tasks of a lost chunk uncounted, from now on each in its own hint: only a single can be charged."""
    for row in rows:
        claim = row.claim
        if row.cancel_requested_at is not None:
            stopped(session, claim, receipt="killed", now=now)
        else:
            give_back(session, [claim], reason=reason, now=now, unchunked=True)


def _rows(session: Session, statement: sa.TextClause, **parameters: Any) -> list[HeldTask]:
    return [HeldTask(**row) for row in session.execute(statement, parameters).mappings()]
