"""How attempts end, and recording it: the outcome and all that follows from it in one transaction."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from app.services import lifecycle
from app.services.failures import Failure
from app.services.lifecycle import Claim, LeaseLost


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """The handler returned."""

    result: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrying:
    """The handler raised, and another attempt follows after `delay`."""

    failure: Failure
    delay: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The handler raised, and nothing follows because of `reason`."""

    failure: Failure
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """The handler was stopped because its task's cancellation was requested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenBack:
    """The attempt did not happen, or was interrupted; it is not counted."""

    reason: str


Outcome: TypeAlias = Completed | Retrying | Failed | Stopped | GivenBack


def record(session: Session, ended: Sequence[tuple[Claim, Outcome]], *, now: datetime) -> set[UUID]:
    """Record how attempts of one hint ended; returns the ids whose lease was lost: of them nothing was recorded."""
    completed = [(held, outcome.result) for held, outcome in ended if isinstance(outcome, Completed)]
    recorded = lifecycle.complete(session, completed, now=now) if completed else set()
    for held, outcome in ended:
        if isinstance(outcome, Completed):
            continue
        with contextlib.suppress(LeaseLost):
            _record_one(session, held, outcome, now)
            recorded.add(held.id)
    return {held.id for held, _ in ended} - recorded


def _record_one(session: Session, held: Claim, outcome: Outcome, now: datetime) -> None:
    match outcome:
        case Retrying(failure=failure, delay=delay):
            lifecycle.retry_later(session, held, failure, due_at=now + delay, now=now)
        case Failed(failure=failure, reason=reason):
            lifecycle.fail(session, held, failure, now=now, reason=reason)
        case Stopped():
            lifecycle.stopped(session, held, receipt="stopped", now=now)
        case GivenBack(reason=reason):
            _give_back(session, held, reason, now)


def _give_back(session: Session, held: Claim, reason: str, now: datetime) -> None:
    if not lifecycle.give_back(session, [held], reason=reason, now=now):
        lifecycle.stopped(session, held, receipt="stopped", now=now)  # raises LeaseLost unless a cancel came first
