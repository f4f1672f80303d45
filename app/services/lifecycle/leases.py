"""Leases as they stand in the rows: for the process that holds them, and for the parent that watches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services.lifecycle.statements import Claim


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseState:
    """What the row of a leased task says, by PostgreSQL's clock."""

    id: UUID
    lease: UUID | None
    cancel_requested_at: datetime | None
    seconds_left: float | None
    """Until the lease ends, below zero when it has ended; None when the task is not leased, and due at no time."""


_STATES = sa.text("""
    SELECT id, lease, cancel_requested_at, extract(epoch FROM due_at - clock_timestamp())::float AS seconds_left
    FROM tasks
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")
# A row that somebody has locked cannot be renewed: it says nothing of its child. now() can be looked up in an index of
# due_at, which clock_timestamp() cannot: with a million waiting tasks all of them would be read, every second.
_EXPIRED = sa.text("""
    SELECT id, leased_pid
    FROM tasks
    WHERE due_at <= now() AND status = 'PROCESSING' AND leased_by = :worker
    LIMIT 100
    FOR SHARE SKIP LOCKED
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningAttempt:
    """An attempt that runs under a lease, without its payload; durations are by PostgreSQL's clock."""

    claim: Claim
    leased_by: str
    running_seconds: float
    cancel_seconds: float | None
    """How long ago it was asked to stop; None when it was not."""


_RUNNING = sa.text("""
    SELECT tasks.id, tasks.type, NULL AS payload, tasks.attempt, tasks.attempt - tasks.attempt_base - 1 AS retries_used,
        tasks.max_retries, tasks.timeout_seconds, tasks.priority, tasks.queue, tasks.dispatched_at, tasks.run_id,
        tasks.request_id, tasks.traceparent, tasks.lease, tasks.leased_by,
        extract(epoch FROM clock_timestamp() - tasks.started_at)::float AS running_seconds,
        extract(epoch FROM clock_timestamp() - tasks.cancel_requested_at)::float AS cancel_seconds
    FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS uuid[])) AS held (id, lease)
    JOIN tasks ON tasks.id = held.id AND tasks.lease = held.lease
    WHERE tasks.status = 'PROCESSING'
""")
_BESIDE_CLAIM = ("leased_by", "running_seconds", "cancel_seconds")


def running(
    session: Session, held: Sequence[tuple[UUID, UUID]], *, lease_seconds: int = 0
) -> dict[UUID, RunningAttempt]:
    """The attempts that run under these leases, by task; `held`: ids of tasks, each with its lease. Nothing is locked.

    `lease_seconds` is for the claims: who knows the type of each replaces it.
    """
    ids, leases = [id_ for id_, _ in held], [lease for _, lease in held]
    attempts = {}
    for row in session.execute(_RUNNING, {"ids": ids, "leases": leases}).mappings():
        beside = {name: row[name] for name in _BESIDE_CLAIM}
        values = {name: value for name, value in row.items() if name not in _BESIDE_CLAIM}
        attempts[row["id"]] = RunningAttempt(claim=Claim(**values, lease_seconds=lease_seconds), **beside)
    return attempts


def states(session: Session, ids: Sequence[UUID]) -> list[LeaseState]:
    """The leases of these tasks, as far as their rows are there; nothing is locked."""
    return [LeaseState(**row) for row in session.execute(_STATES, {"ids": list(ids)}).mappings()]


def expired_at(session: Session, worker: str) -> list[tuple[UUID, int]]:
    """Tasks whose lease has run out in the hands of this worker, each with the process id of its child; at most 100."""
    return [(row.id, row.leased_pid) for row in session.execute(_EXPIRED, {"worker": worker})]
