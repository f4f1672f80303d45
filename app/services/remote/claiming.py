"""Claims of remote workers: hints out of their lines, and the same fenced claim that a Celery worker makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from app.database import Session, Unreadable, use_indexes
from app.services import lifecycle
from app.services.lifecycle import Claim, Holder, leases
from app.services.measuring import counters
from app.services.recovery.failures import Failure, storable
from app.services.remote import line
from app.services.remote.presence import WorkerInfo
from app.services.tasks import checkpoints
from app.services.tasks.outcomes import Failed, Outcome
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import TaskType

MAX_ITEMS = 200  # of one claim
ROUNDS = 25  # of hints that lead nowhere; then the line is looked at again by the next claim


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a worker asks for. `lease`: the one that a claim with its id has, None where it sent none."""

    worker: WorkerInfo
    types: Mapping[str, TaskType]
    max_items: int
    lease: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What a claim brought: tasks that the worker runs from now on. `is_repeated`: they were its own before.

    `checkpoints` are what earlier attempts have kept, by task.
    """

    claims: Sequence[Claim] = ()
    is_repeated: bool = False
    checkpoints: Mapping[UUID, Any] = field(default_factory=dict)


# Two requests with one id, of which one was given up, must not both take tasks.
_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:lease AS text), 0))")
_EARLIER = sa.text("SELECT ids FROM work_claims WHERE claim = :lease")
_REMEMBER = sa.text("""
    INSERT INTO work_claims (claim, worker, ids, at)
    VALUES (:lease, :worker, CAST(:ids AS uuid[]), :now)
    ON CONFLICT (claim) DO UPDATE SET ids = excluded.ids, at = excluded.at
""")
_FORGET = sa.text("DELETE FROM work_claims WHERE at < :before")


def lease_seconds_of(task_type: TaskType, default: int) -> int:
    """How long a lease of this type holds: never longer than an attempt may take. Pure."""
    return min(task_type.lease_seconds or default, task_type.timeout_seconds + task_type.grace_seconds)


def claim(session: Session, wanted: Wanted, *, default_lease_seconds: int, now: datetime) -> Taken:
    """Lease the first waiting tasks of these types, at most so many; none where none waits.

    Asked again with the id of an earlier claim, it returns what is still held under that.
    """
    if wanted.lease is not None:
        held = _earlier(session, wanted, wanted.lease, default_lease_seconds)
        if held:
            return Taken(claims=held, is_repeated=True, checkpoints=_kept_of(session, held))
    use_indexes(session, in_order=True)
    waiting = line.waiting_types(session, wanted.types)
    if not waiting:
        return Taken()
    lease, claims = wanted.lease or uuid4(), list[Claim]()
    for name in waiting:
        seconds = lease_seconds_of(wanted.types[name], default_lease_seconds)
        claims += _of_type(session, name, wanted, lease, seconds, wanted.max_items - len(claims), now)
        if len(claims) >= wanted.max_items:
            break
    if wanted.lease is not None and claims:
        ids = [held.id for held in claims]
        session.execute(_REMEMBER, {"lease": lease, "worker": wanted.worker.id, "ids": ids, "now": now})
    return Taken(claims=claims, checkpoints=_kept_of(session, claims))


def _kept_of(session: Session, claims: Sequence[Claim]) -> dict[UUID, Any]:
    return checkpoints.read_all(session, [held.id for held in claims]) if claims else {}


def _of_type(
    session: Session, name: str, wanted: Wanted, lease: UUID, lease_seconds: int, room: int, now: datetime
) -> list[Claim]:
    holder = Holder(worker=wanted.worker.id, pid=wanted.worker.pid)
    claims: list[Claim] = []
    for _ in range(ROUNDS):
        ids = line.take(session, name, limit=room - len(claims))
        if not ids:
            break
        claims += lifecycle.claim(session, name, ids, holder=holder, lease_seconds=lease_seconds, now=now, lease=lease)
        _account_for_rest(session, set(ids) - {held.id for held in claims})
        if len(claims) >= room:
            break
    return claims


def _account_for_rest(session: Session, rest: set[UUID]) -> None:
    """Of the tasks that could not be claimed: hold those whose type was just paused, count the others as duplicates."""
    if rest:
        held_back = lifecycle.hold_paused(session, sorted(rest))
        counters.add(session, {counters.DUPLICATES_SUPPRESSED: len(rest - held_back)})


def _earlier(session: Session, wanted: Wanted, lease: UUID, default_lease_seconds: int) -> list[Claim]:
    session.execute(_ONE_AT_A_TIME, {"lease": lease})
    ids = session.scalar(_EARLIER, {"lease": lease})
    if not ids:
        return []
    held = lifecycle.held_under(session, lease, ids, lease_seconds=default_lease_seconds)
    known = [each for each in held if each.type in wanted.types]
    lifecycle.renew(session, known)
    order = {id_: number for number, id_ in enumerate(ids)}
    return sorted(known, key=lambda each: order[each.id])


def seconds_spent(session: Session, claims: Sequence[Claim]) -> dict[UUID, float]:
    """For how long these attempts have been running, by task."""
    attempts = leases.running(session, [(held.id, held.lease) for held in claims])
    return {id_: each.running_seconds for id_, each in attempts.items()}


def refused(task_type: TaskType, held: Claim) -> Outcome | None:
    """How an attempt ends at once whose payload its type does not take: it came by SQL, or the schema has changed."""
    if isinstance(held.payload, Unreadable):
        failure = Failure(type="PermanentError", message=f"its payload cannot be read: {held.payload['$unreadable']}")
        return Failed(failure=failure, reason="its error is permanent")
    try:
        task_type.payload.load(held.payload)
    except PayloadRefused as error:
        failure = Failure(type=type(error).__name__, message=storable(str(error))[:2_000])
        return Failed(failure=failure, reason="its error is permanent")
    return None


def forget(session: Session, *, before: datetime) -> None:
    """Forget claims made before a moment."""
    session.execute(_FORGET, {"before": before})
