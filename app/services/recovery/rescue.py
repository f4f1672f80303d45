"""Moving on what a lost process, a lost worker or an expired lease left behind."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Priority
from app.services import lifecycle
from app.services.lifecycle import Claim, lost
from app.services.lifecycle.lost import HeldTask
from app.services.measuring import counters
from app.services.recovery.failures import Failure
from taskledger_sdk.registry import find_type, known_types
from taskledger_sdk.retry import RetryPolicy

Random = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What a rescue did: how many tasks it moved on, and which of them are FAILED."""

    count: int = 0
    dead: tuple[Claim, ...] = ()

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(count=self.count + other.count, dead=self.dead + other.dead)


def backoff(random: Random) -> lost.Backoff:
    """The delay of a type's own policy; of the default one where no such type is known here."""

    def delay(type_name: str, attempt: int) -> timedelta:
        kind = find_type(type_name)
        policy = RetryPolicy() if kind is None else kind.retry
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
) -> Moved:
    """Move on the tasks of a hint that a dead child held; a chunk is returned uncounted."""
    rows = lost.of_process(session, ids, worker=worker, pid=pid)
    if len(ids) > 1:
        lost.return_uncounted(session, rows, reason="given back: the chunk it travelled in lost its process", now=now)
        return Moved(count=len(rows))
    known = [replace(row, unchunked=True) for row in rows]  # its hint named one task, so it is known who ran
    return _count_attempts(session, known, lambda row: _over_limit(row, now) or failure, now=now, random=random)


def interrupted(
    session: Session, ids: Sequence[UUID], *, worker: str, pid: int, now: datetime, random: Random
) -> Moved:
    """Return uncounted what a child held that its own worker killed while shutting down.

    An attempt to which that happens again and again is charged as a lost one.
    """
    rows = lost.of_process(session, ids, worker=worker, pid=pid)
    spent = [row for row in rows if lifecycle.is_interrupted_too_often(session, row.id, row.attempt)]
    rest = [row for row in rows if row not in spent]
    lost.return_uncounted(session, rest, reason=f"{lifecycle.INTERRUPTED} was shutting down", now=now)
    failure = Failure(type="WorkerLost", message=lifecycle.TOO_MANY_INTERRUPTIONS)
    known = [replace(row, unchunked=True) for row in spent]
    return Moved(count=len(rest)) + _count_attempts(session, known, lambda _row: failure, now=now, random=random)


# Written within seconds of each answer; see app/services/remote/presence.py.
_ANSWERED_AT = sa.text("SELECT max(last_seen_at) FROM workers WHERE kind = 'remote'")
MISSED_LEASES = 2  # after its last one ran out


def expired(
    session: Session, *, since: datetime, before: datetime, lease: timedelta, limit: int
) -> list[tuple[UUID, UUID]]:
    """Ids and leases of tasks whose lease ran out between two moments.

    Remote workers renew over HTTP. While no API answers any of them, they may all be well: a lease of theirs counts as
    expired only if one was answered since, or after it was missed three times in a row. `lease`: the service's own.
    """
    longest = max(
        [lease, *(timedelta(seconds=kind.lease_seconds or 0) for kind in known_types().values() if kind.remote)]
    )
    answered_at = session.scalar(_ANSWERED_AT)
    given_up = before - MISSED_LEASES * longest
    remote_before = given_up if answered_at is None else max(given_up, answered_at)
    return lost.overdue(session, since=since, before=before, remote_before=remote_before, limit=limit)


def renewable(session: Session, leases: Sequence[tuple[UUID, UUID]]) -> list[tuple[UUID, UUID]]:
    """Those leases that nothing keeps from being renewed: a row that a person has locked says nothing of its child."""
    free = lost.locked_by_nobody(session, [task_id for task_id, _ in leases])
    return [each for each in leases if each[0] in free]


def expired_leases(session: Session, ids: Sequence[UUID], *, before: datetime, now: datetime, random: Random) -> Moved:
    """Move on those of these tasks whose lease ran out before a moment."""
    rows = lost.of_expired(session, ids, before=before)
    return _count_attempts(session, rows, lambda row: _expired(row, now), now=now, random=random)


def lost_workers(session: Session, workers: Collection[str], *, now: datetime, limit: int, random: Random) -> Moved:
    """Move on the tasks leased to workers that are not seen any more."""
    rows = lost.of_workers(session, workers, limit=limit)
    return _count_attempts(session, rows, _not_seen, now=now, random=random)


def _count_attempts(
    session: Session,
    rows: Sequence[HeldTask],
    failure: Callable[[HeldTask], Failure],
    *,
    now: datetime,
    random: Random,
) -> Moved:
    moved = Moved()
    for row in rows:
        if _may_have_been_in_a_chunk(row):
            reason = f"given back: {failure(row).message}; it may not even have been started"
            lost.return_uncounted(session, [row], reason=reason, now=now)
            moved += Moved(count=1)
            continue
        dead = lost.move_on(session, [row], failure(row), backoff=backoff(random), now=now)
        moved += Moved(count=1, dead=tuple(dead))
    counters.add(session, {counters.ATTEMPTS_LOST: moved.count})
    return moved


def _may_have_been_in_a_chunk(row: HeldTask) -> bool:
    """Whether the task may have travelled with others, so that it is not known whose handler ran.

    Only a task in a hint of its own can be charged. It travels alone from then on, so this happens to it once.
    """
    if row.unchunked or row.timeout_seconds is not None or row.priority == Priority.HIGH:
        return False
    kind = find_type(row.type)
    return kind is not None and kind.chunk > 1


def _expired(row: HeldTask, now: datetime) -> Failure:
    """A remote worker ends a handler by itself at its limit; what it still holds after that has overrun it."""
    is_remote = row.leased_by.startswith(lost.OF_REMOTE)
    return (_over_limit(row, now) if is_remote else None) or _no_sign_of_life(row)


def _no_sign_of_life(row: HeldTask) -> Failure:
    return Failure(type="WorkerLost", message=f"its lease ran out: no sign of life from {row.leased_by}")


def _not_seen(row: HeldTask) -> Failure:
    return Failure(type="WorkerLost", message=f"its worker {row.leased_by} was not seen any more")


def _over_limit(row: HeldTask, now: datetime) -> Failure | None:
    """The failure of an attempt that had overrun its limit when its process ended: that is why it ended."""
    kind = find_type(row.type)
    if kind is None or row.started_at + timedelta(seconds=row.timeout_seconds or kind.timeout_seconds) > now:
        return None
    return Failure(type="TimeLimitExceeded", message="still running after its time limit and grace period; killed")
