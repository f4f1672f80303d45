"""Creating, changing and deleting triggers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Outdated, Refused
from app.models import TriggerRecord
from app.services import idempotency
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.idempotency import Key
from app.services.owners import lock_owner_count
from app.services.triggers import targets
from app.services.triggers.lookups import check_when
from app.services.triggers.reading import TRIGGERS, read
from app.services.triggers.targets import TaskTemplate, WorkflowTemplate
from app.services.workflows import Caller

MAX_OF_AN_OWNER = 10_000
TARGET = frozenset({"task", "workflow"})


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTrigger:
    """What a caller asks for: `task` or `workflow`. `condition` None holds for every event of the name."""

    event: str
    task: TaskTemplate | None = None
    workflow: WorkflowTemplate | None = None
    condition: Any = None
    name: str | None = None
    enabled: bool = True


def create_once(
    session: Session,
    wanted: NewTrigger,
    *,
    key: Key | None,
    owner_id: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[TriggerRecord, bool]:
    """Store a trigger, or return the one that an earlier request with the same key made; and whether it is new.

    Raises Refused, TypeNotAllowed, or Gone for one that was deleted since.
    """

    def create_new(trigger_id: UUID) -> TriggerRecord:
        return create(session, wanted, trigger_id, owner_id=owner_id, now=now, allowance=allowance)

    def find(trigger_id: UUID) -> TriggerRecord:
        return read(session, trigger_id, visible_to=owner_id)

    return idempotency.once(session, key, create=create_new, find=find, what="trigger", now=now)


def create(
    session: Session,
    wanted: NewTrigger,
    trigger_id: UUID,
    *,
    owner_id: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> TriggerRecord:
    """Store a trigger. Raises Refused or TypeNotAllowed."""
    check_when(wanted.condition)
    caller = Caller(owner_id=owner_id)
    target = targets.target_of(session, wanted.task, wanted.workflow, caller=caller, now=now)
    targets.check_allowed(session, target, allowance, caller=caller, now=now)
    _check_room(session, owner_id)
    row = {
        "id": trigger_id,
        "owner_id": owner_id,
        "name": wanted.name,
        "event": wanted.event,
        "condition": wanted.condition,
        "target": target,
        "schema_hash": targets.schema_hash_of(target),
        "enabled": wanted.enabled,
        "created_at": now,
        "updated_at": now,
    }
    made = session.connection().execute(sa.insert(TRIGGERS).values(row).returning(TRIGGERS)).mappings().one()
    return TriggerRecord.of(made)


def change(
    session: Session,
    trigger_id: UUID,
    wanted: Mapping[str, Any],
    *,
    visible_to: UUID | None,
    now: datetime,
    states: Collection[datetime] | None = None,
    allowance: Allowance = ANYTHING,
) -> TriggerRecord:
    """Change a trigger; fields as in NewTrigger, and what is left out stays.

    `states`: the `updated_at` that the caller may have read (If-Match), None for any. Raises NotFound, Outdated,
    Refused or TypeNotAllowed. Events that have come and were not applied yet meet the trigger as it is then.
    """
    old = read(session, trigger_id, visible_to=visible_to, lock=True)
    _check_state(old, states)
    values = {name: value for name, value in wanted.items() if name not in TARGET}
    if "condition" in values:
        check_when(values["condition"])
    caller, target = Caller(owner_id=old.owner_id), old.target
    if wanted.keys() & TARGET:
        target = targets.target_of(session, wanted.get("task"), wanted.get("workflow"), caller=caller, now=now)
        values |= {"target": target, "schema_hash": targets.schema_hash_of(target)}
    if "target" in values or (values.get("enabled") and not old.enabled):
        targets.check_allowed(session, target, allowance, caller=caller, now=now)
    query = sa.update(TRIGGERS).where(TRIGGERS.c.id == trigger_id).values(**values, updated_at=now)
    return TriggerRecord.of(session.connection().execute(query.returning(TRIGGERS)).mappings().one())


def delete(
    session: Session, trigger_id: UUID, *, visible_to: UUID | None, states: Collection[datetime] | None = None
) -> None:
    """Forget a trigger; what it has started stays. `states` as above. Raises NotFound or Outdated."""
    _check_state(read(session, trigger_id, visible_to=visible_to, lock=True), states)
    session.connection().execute(sa.delete(TRIGGERS).where(TRIGGERS.c.id == trigger_id))


def _check_state(trigger: TriggerRecord, states: Collection[datetime] | None) -> None:
    if states is not None and trigger.updated_at not in states:
        raise Outdated("The trigger has changed since you read it: read it again and repeat the change on that.")


def _check_room(session: Session, owner_id: UUID | None) -> None:
    lock_owner_count(session, "triggers", owner_id)
    theirs = sa.select(sa.func.count()).select_from(TRIGGERS).where(TRIGGERS.c.owner_id == owner_id)
    if session.connection().execute(theirs).scalar_one() >= MAX_OF_AN_OWNER:
        said = f"there are {MAX_OF_AN_OWNER} triggers already, the most that one account may have; delete one first"
        raise Refused({"_schema": [said]}, code="too_many_triggers")
