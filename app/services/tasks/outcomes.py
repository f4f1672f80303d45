"""How attempts end, and recording it: the outcome and all that follows from it in one transaction."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.exc import InterfaceError, OperationalError

from app.database import Session
from app.services import lifecycle, workflows
from app.services.lifecycle import Claim, LeaseLost, NewPayload, Waits
from app.services.recovery.failures import Failure
from app.services.tasks import checkpoints

# What a port registered during the attempt: runs in the outcome's transaction, after the fence, at the given moment;
# what it returns is added to the result. A deadlock or a lost connection repeats it with the whole transaction.
Write: TypeAlias = Callable[[Session, datetime], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """The handler returned. If one of the `writes` raises, none is made, and `otherwise` says how the attempt ended.

    `reason`: why it is COMPLETED, where that is not obvious.
    """

    result: Any
    reason: str | None = None
    writes: tuple[Write, ...] = ()
    otherwise: "Callable[[Exception], Outcome] | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrying:
    """The handler raised, and another attempt follows after `delay`.

    `as_asked`: its worker has decided that, so that none of the task's retries is used; `payload` is what the next
    attempt is given, None for the same.
    `checkpoint`, here and below: JSON text that the attempt has kept and that is not written yet.
    """

    failure: Failure
    delay: timedelta
    as_asked: bool = False
    payload: NewPayload | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The handler raised, and nothing follows because of `reason`."""

    failure: Failure
    reason: str
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """The handler was stopped because its task's cancellation was requested."""

    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenBack:
    """The attempt did not happen, or was interrupted; it is not counted.

    `instead`: for an attempt that had begun, what is recorded once its number was interrupted MAX_INTERRUPTIONS times.
    """

    reason: str
    instead: "Retrying | Failed | None" = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspended:
    """A durable handler waits, without its worker."""

    waits: Waits
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedOver:
    """A durable handler begins anew: its steps are forgotten, and its payload is another one (JSON text)."""

    payload: str
    schema_hash: str
    otherwise: "Failed"
    """How the attempt ends where children of the task are under way."""


Outcome: TypeAlias = Completed | Retrying | Failed | Stopped | GivenBack | Suspended | StartedOver


def record(session: Session, ended: Sequence[tuple[Claim, Outcome]], *, now: datetime) -> dict[UUID, Outcome]:
    """Record how attempts of one hint ended; returns what was recorded, by id.

    An id that is missing had lost its lease: of it nothing was recorded. A Completed whose writes were refused is
    returned as what was recorded instead. A step's run moves on in the same transaction, and is locked before any task.
    """
    runs = workflows.lock_runs(session, {claim.run_id for claim, _ in ended if claim.run_id is not None})
    recorded = _record(session, ended, now)
    for run in runs:
        workflows.advance(session, run, now=now)
    return recorded


def _record(session: Session, ended: Sequence[tuple[Claim, Outcome]], now: datetime) -> dict[UUID, Outcome]:
    settled = [(claim, _bounded(session, claim, outcome)) for claim, outcome in _make_writes(session, ended, now)]
    completed = [(claim, outcome.result) for claim, outcome in settled if isinstance(outcome, Completed)]
    reasons = {claim.id: each.reason for claim, each in settled if isinstance(each, Completed) and each.reason}
    recorded = lifecycle.complete(session, completed, now=now, reasons=reasons) if completed else set()
    for claim, outcome in settled:
        if isinstance(outcome, Completed):
            continue
        with contextlib.suppress(LeaseLost):
            _record_one(session, claim, outcome, now)
            recorded.add(claim.id)
    return {claim.id: outcome for claim, outcome in settled if claim.id in recorded}


def takes_one_statement(ended: Sequence[tuple[Claim, Outcome]]) -> bool:
    """Whether `record` needs no transaction around it: handlers returned, and nothing else follows from that."""
    lease = ended[0][0].lease
    return all(
        isinstance(outcome, Completed) and not outcome.writes and claim.run_id is None and claim.lease == lease
        for claim, outcome in ended
    )


def _make_writes(
    session: Session, ended: Sequence[tuple[Claim, Outcome]], now: datetime
) -> Sequence[tuple[Claim, Outcome]]:
    """Make the writes of those that still hold their lease, which they cannot lose until the transaction ends."""
    if not any(isinstance(outcome, Completed) and outcome.writes for _, outcome in ended):
        return ended
    held_ids = lifecycle.lock_held(session, [claim for claim, _ in ended])
    return [
        (claim, _written(session, outcome, now) if isinstance(outcome, Completed) and outcome.writes else outcome)
        for claim, outcome in ended
        if claim.id in held_ids
    ]


def _written(session: Session, outcome: Completed, now: datetime) -> Outcome:
    try:
        with session.begin_nested():
            added: dict[str, Any] = {}
            for write in outcome.writes:
                added |= write(session, now)
            return replace(outcome, result={**(outcome.result or {}), **added}) if added else outcome
    except (OperationalError, InterfaceError):
        raise  # the database's trouble, not the task's: the whole transaction is tried again
    except Exception as error:
        if outcome.otherwise is None:
            raise
        return outcome.otherwise(error)


def _bounded(session: Session, claim: Claim, outcome: Outcome) -> Outcome:
    """What is recorded of an attempt: one that was interrupted too often ends as if its worker had been lost."""
    if isinstance(outcome, StartedOver):
        return outcome.otherwise if lifecycle.has_open_children(session, claim.id) else outcome
    if not isinstance(outcome, GivenBack) or outcome.instead is None:
        return outcome
    if not lifecycle.is_interrupted_too_often(session, claim.id, claim.attempt):
        return outcome
    return replace(outcome.instead, checkpoint=outcome.checkpoint)


def _record_one(session: Session, claim: Claim, outcome: Outcome, now: datetime) -> None:
    if isinstance(outcome, Retrying | Failed | Stopped | GivenBack | Suspended) and outcome.checkpoint is not None:
        checkpoints.write(session, [(claim, outcome.checkpoint)], waits=True)  # while it still holds its lease
    match outcome:
        case Retrying(failure=failure, delay=delay, as_asked=True, payload=payload):
            lifecycle.retry_as_asked(session, claim, failure, due_at=now + delay, now=now, payload=payload)
        case Retrying(failure=failure, delay=delay):
            lifecycle.retry_later(session, claim, failure, due_at=now + delay, now=now)
        case Failed(failure=failure, reason=reason):
            lifecycle.fail(session, claim, failure, now=now, reason=reason)
        case Stopped():
            lifecycle.stopped(session, claim, receipt="stopped", now=now)
        case GivenBack(reason=reason):
            _give_back(session, claim, reason, now)
        case Suspended(waits=waits):
            lifecycle.suspend(session, claim, waits, now=now)
        case StartedOver():
            lifecycle.start_over(session, claim, outcome.payload, schema_hash=outcome.schema_hash, now=now)


def _give_back(session: Session, claim: Claim, reason: str, now: datetime) -> None:
    if not lifecycle.give_back(session, [claim], reason=reason, now=now):
        lifecycle.stopped(session, claim, receipt="stopped", now=now)  # raises LeaseLost unless a cancel came first
