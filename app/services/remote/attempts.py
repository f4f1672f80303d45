"""Attempts that remote workers run: whose they are, and for how long yet. Pure, but for reading them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace

from app.database import Session
from app.services.lifecycle import Claim, leases
from app.services.lifecycle.leases import RunningAttempt
from app.services.recovery.failures import Failure
from app.services.remote import types
from app.services.remote.claiming import lease_seconds_of
from app.services.remote.known import TYPES
from app.services.remote.presence import is_of
from taskledger_sdk.registry import TaskType


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose worker it is, and which task types it may work on; None: all of them."""

    account: UUID
    types: frozenset[str] | None

    def may_work_on(self, type_name: str) -> bool:
        """Whether its tasks are any business of this caller."""
        return self.types is None or type_name in self.types


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One attempt of the caller that still holds its lease."""

    claim: Claim
    """With the length of its lease."""
    task_type: TaskType
    leased_by: str
    running_seconds: float
    cancel_seconds: float | None

    @property
    def seconds_left(self) -> float:
        """Until its limit and its grace are over: so long it may be renewed; below zero when it has overrun them."""
        limit = self.claim.timeout_seconds or self.task_type.timeout_seconds
        return limit + self.task_type.grace_seconds - self.running_seconds

    @property
    def overran(self) -> Failure | None:
        """What it failed with, when it did not end within its limit and grace."""
        if self.seconds_left > 0:
            return None
        limit = self.claim.timeout_seconds or self.task_type.timeout_seconds
        return Failure(type="TimeLimitExceeded", message=f"still running after its limit of {limit} s; its lease ended")

    @property
    def ignored_cancel(self) -> bool:
        """Whether it was asked to stop, and has not done so within its grace."""
        return self.cancel_seconds is not None and self.cancel_seconds > self.task_type.grace_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the caller named: what it holds, and what it does not hold any more; the rest is unknown to it."""

    held: Mapping[UUID, Held]
    lost: frozenset[UUID]


_THERE = sa.text("SELECT id, type FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))")


def find(session: Session, named: Sequence[tuple[UUID, UUID]], *, caller: Caller, default_lease_seconds: int) -> Found:
    """What the caller holds of these tasks, each named with its lease.

    A lease of another account's worker is a lost one; a task of a type that the caller may not work on is not there.
    """
    attempts = leases.running(session, named)
    ours = {
        id_: each
        for id_, each in attempts.items()
        if caller.may_work_on(each.claim.type) and is_of(each.leased_by, caller.account)
    }
    kinds = kinds_of(session, {each.claim.type for each in ours.values()})
    held = {id_: _held(each, kinds[each.claim.type], default_lease_seconds) for id_, each in ours.items()}
    missing = [id_ for id_, _ in named if id_ not in ours]
    rows = session.execute(_THERE, {"ids": missing}).all() if missing else []
    return Found(held=held, lost=frozenset(row.id for row in rows if caller.may_work_on(row.type)))


def _held(attempt: RunningAttempt, task_type: TaskType, default_lease_seconds: int) -> Held:
    seconds = lease_seconds_of(task_type, default_lease_seconds)
    return Held(
        claim=replace(attempt.claim, lease_seconds=seconds),
        task_type=task_type,
        leased_by=attempt.leased_by,
        running_seconds=attempt.running_seconds,
        cancel_seconds=attempt.cancel_seconds,
    )


def kinds_of(session: Session, names: Collection[str]) -> dict[str, TaskType]:
    """Remote types by name, retired ones, too; those that never were any are missing."""
    known = {name: kind for name in names if (kind := TYPES.find(name)) is not None}
    rest = [name for name in names if name not in known]
    return {**known, **(types.read(session, rest) if rest else {})}
