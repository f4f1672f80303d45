"""Putting a schedule under its name: it is made, replaced as a whole, or stays as it is."""

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from enum import Enum
from uuid import UUID

from app.database import Session
from app.errors import Outdated
from app.models import ScheduleRecord
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.owners import lock_owner_count
from app.services.schedules import targets
from app.services.schedules.changing import NewSchedule, change, create
from app.services.schedules.checking import check_state
from app.services.schedules.reading import of_name, read

NOT_STORED = frozenset({"task", "workflow", "run_if_past"})


class Put(Enum):
    """What became of it."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


def put(
    session: Session,
    wanted: NewSchedule,
    *,
    owner_id: UUID | None,
    most: int,
    now: datetime,
    keeps_enabled: bool = False,
    states: Collection[datetime] | None = None,
    allowance: Allowance = ANYTHING,
) -> tuple[ScheduleRecord, Put]:
    """Make the account's schedule of this name, or give the one that is there all of these fields.

    `keeps_enabled`: one that is there stays enabled or disabled as it is, whatever `wanted` says. `states` as in
    `change`; a schedule that is not there is in none. Raises what `create` and `change` raise.
    """
    lock_owner_count(session, "schedules", owner_id)
    old = None if wanted.name is None else of_name(session, wanted.name, owner_id=owner_id)
    if old is None:
        if states is not None:
            raise Outdated("There is no schedule of this name any more: PUT it without If-Match to make it.")
        return create(session, wanted, owner_id=owner_id, most=most, now=now, allowance=allowance), Put.CREATED
    return replace(session, old.id, wanted, now=now, keeps_enabled=keeps_enabled, states=states, allowance=allowance)


def replace(
    session: Session,
    schedule_id: UUID,
    wanted: NewSchedule,
    *,
    now: datetime,
    visible_to: UUID | None = None,
    keeps_enabled: bool = False,
    states: Collection[datetime] | None = None,
    allowance: Allowance = ANYTHING,
    from_code: bool = False,
) -> tuple[ScheduleRecord, Put]:
    """Give a schedule all of these fields; one that has them stays as it is, its state included. Raises as `change`."""
    seen = read(session, schedule_id, visible_to=visible_to)
    lock_owner_count(session, "schedules", seen.owner_id)  # before the row, as everywhere
    old = read(session, schedule_id, visible_to=visible_to, lock=True)
    check_state(old, states)
    target = targets.target_of(
        session, wanted.task, wanted.workflow, owner_id=old.owner_id, time_zone=wanted.time_zone, now=now
    )
    values = {each.name: getattr(wanted, each.name) for each in fields(wanted) if each.name not in NOT_STORED}
    if keeps_enabled:
        values["enabled"] = old.enabled
    if target == old.target and all(getattr(old, name) == value for name, value in values.items()):
        return old, Put.UNCHANGED
    said = {"task": wanted.task, "workflow": wanted.workflow, "run_if_past": wanted.run_if_past}
    if keeps_enabled:
        del values["enabled"]
    changed = change(
        session, schedule_id, values | said, visible_to=visible_to, now=now, allowance=allowance, from_code=from_code
    )
    return changed, Put.REPLACED
