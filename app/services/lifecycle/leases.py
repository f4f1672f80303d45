"""Leases as they stand in the rows: for the process that holds them, and for the parent that watches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session


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
# A row that somebody has locked cannot be renewed: it says nothing of its child.
_EXPIRED = sa.text("""
    SELECT id, leased_pid
    FROM tasks
    WHERE due_at <= clock_timestamp() AND status = 'PROCESSING' AND leased_by = :worker
    LIMIT 100
    FOR SHARE SKIP LOCKED
""")


def states(session: Session, ids: Sequence[UUID]) -> list[LeaseState]:
    """The leases of these tasks, as far as their rows are there; nothing is locked."""
    return [LeaseState(**row) for row in session.execute(_STATES, {"ids": list(ids)}).mappings()]


def expired_at(session: Session, worker: str) -> list[tuple[UUID, int]]:
    """Tasks whose lease has run out in the hands of this worker, each with the process id of its child; at most 100."""
    return [(row.id, row.leased_pid) for row in session.execute(_EXPIRED, {"worker": worker})]
