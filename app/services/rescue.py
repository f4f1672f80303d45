"""Moving on what a lost process, a lost worker or an expired lease left behind."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.services.failures import Failure
from app.services.lifecycle import lost
from tasks.errors import UnknownTaskType
from tasks.registry import get_type
from tasks.retry import RetryPolicy

Random = Callable[[], float]


def backoff(random: Random) -> lost.Backoff:
    """The delay of a type's own policy; of the default one where no such type is known here."""

    def delay(type_name: str, attempt: int) -> timedelta:
        try:
            policy = get_type(type_name).retry
        except UnknownTaskType:
            policy = RetryPolicy()
        return policy.delay(attempt, random)

    return delay


def lost_process(
    session: Session,
    ids: Sequence[UUID],
    *,
    worker: str,
    pid: int,
    failure: Failure,
    now: datetime,
    random: Random,
) -> int:
    """Move on the tasks of a hint that a dead child held; a chunk is returned uncounted. Returns how many."""
    rows = lost.of_process(session, ids, worker=worker, pid=pid)
    if len(ids) > 1:
        lost.return_uncounted(session, rows, reason="given back: the chunk it travelled in lost its process", now=now)
    else:
        overran = [row for row in rows if _over_limit(row, now)]
        lost.move_on(session, overran, _time_limit(), backoff=backoff(random), now=now)
        rest = [row for row in rows if row not in overran]
        lost.move_on(session, rest, failure, backoff=backoff(random), now=now)
    return len(rows)


def interrupted(session: Session, ids: Sequence[UUID], *, worker: str, pid: int, now: datetime) -> int:
    """Return uncounted what a child held that its own worker killed while shutting down."""
    rows = lost.of_process(session, ids, worker=worker, pid=pid)
    lost.return_uncounted(session, rows, reason="given back: its worker was shutting down", now=now)
    return len(rows)


def expired_leases(session: Session, *, since: datetime, now: datetime, limit: int, random: Random) -> int:
    """Move on the tasks whose lease ran out. Returns how many."""
    rows = lost.overdue(session, since=since, now=now, limit=limit)
    for row in rows:
        message = f"its lease ran out: no sign of life from {row['leased_by']}"
        lost.move_on(session, [row], Failure(type="WorkerLost", message=message), backoff=backoff(random), now=now)
    return len(rows)


def lost_workers(session: Session, workers: Collection[str], *, now: datetime, limit: int, random: Random) -> int:
    """Move on the tasks leased to workers that are not seen any more. Returns how many."""
    rows = lost.of_workers(session, workers, limit=limit)
    for row in rows:
        message = f"its worker {row['leased_by']} was not seen any more"
        lost.move_on(session, [row], Failure(type="WorkerLost", message=message), backoff=backoff(random), now=now)
    return len(rows)


def _over_limit(row: dict[str, Any], now: datetime) -> bool:
    """Whether the attempt had overrun its limit when its process ended: then that is why it ended."""
    try:
        own = get_type(row["type"]).timeout_seconds
    except UnknownTaskType:
        return False
    limit: datetime = row["started_at"] + timedelta(seconds=row["timeout_seconds"] or own)
    return limit <= now


def _time_limit() -> Failure:
    return Failure(type="TimeLimitExceeded", message="still running after its time limit and grace period; killed")
