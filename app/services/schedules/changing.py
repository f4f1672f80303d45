"""Making, changing, running and deleting schedules."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict
from app.models import Misfire, Overlap, ScheduleRecord, SlotState, new_id
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.owners import owner_is_active
from app.services.schedules import firing, targets
from app.services.schedules.checking import check_name, check_room, check_rule, check_state
from app.services.schedules.code import check_code, check_deletable
from app.services.schedules.occurrences import what_has_come
from app.services.schedules.policy import Decision
from app.services.schedules.reading import SCHEDULES, read
from app.services.schedules.rule import Rule
from app.services.schedules.targets import Draft, RunDraft, TaskTemplate, WorkflowTemplate

RULE_FIELDS = frozenset(each.name for each in fields(Rule))
VERSIONED = (*sorted(RULE_FIELDS), "target", "misfire", "misfire_cap", "overlap", "jitter_seconds")
ASKED_FOR = "asked for with POST /run"
WAS_PAST = "run_at was past, and run_if_past asked to run it at once"
CHANGED = "the schedule was changed or disabled before a dispatcher looked"
DISABLED = "the schedule was disabled while the slot waited"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSchedule:
    """What a caller asks for. Moments are aware and in UTC; `cron` or `run_at`, and `task` or `workflow`."""

    task: TaskTemplate | None = None
    workflow: WorkflowTemplate | None = None
    name: str | None = None
    cron: str | None = None
    run_at: datetime | None = None
    time_zone: str = "UTC"
    misfire: str = Misfire.RUN_ONCE.value
    misfire_cap: int = 10
    overlap: str = Overlap.ALLOW.value
    jitter_seconds: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    enabled: bool = True
    run_if_past: bool = False


def create(
    session: Session,
    wanted: NewSchedule,
    *,
    owner_id: UUID | None,
    most: int,
    now: datetime,
    schedule_id: UUID | None = None,
    allowance: Allowance = ANYTHING,
    numbers_name: bool = False,
) -> ScheduleRecord:
    """Store a schedule. Raises Refused, TypeNotAllowed, or Conflict for a name that is taken; then nothing is stored.

    `most`: how many an owner may have. With `numbers_name` a name that is taken gets a number, as "report (2)": for
    names that nobody has chosen.

    One that is to run at once because its moment is past raises QuotaReached, too.
    """
    values = {each.name: getattr(wanted, each.name) for each in fields(wanted)}
    wanted_task, wanted_workflow, run_if_past = (values.pop(name) for name in ("task", "workflow", "run_if_past"))
    rule = Rule(**{name: values[name] for name in RULE_FIELDS})
    is_past = check_rule(rule, run_if_past=run_if_past, now=now)
    target = targets.target_of(
        session, wanted_task, wanted_workflow, owner_id=owner_id, time_zone=rule.time_zone, now=now
    )
    if not numbers_name:  # else the trigger does
        check_name(session, owner_id, wanted.name)
    check_room(session, owner_id, most=most)
    row = {
        **values,
        "id": schedule_id or new_id(),
        "owner_id": owner_id,
        "target": target,
        "schema_hash": targets.schema_hash_of(target),
        "accounted_until": now,
        "next_at": rule.after(now) if wanted.enabled else None,
        "created_at": now,
        "updated_at": now,
    }
    made = session.connection().execute(sa.insert(SCHEDULES).values(row).returning(SCHEDULES)).mappings().one()
    schedule = ScheduleRecord.of(made)
    targets.check(session, schedule, allowance, now=now)
    if is_past and schedule.enabled and schedule.run_at is not None:
        allowance.room_of(owner_id)(targets.places_of(session, schedule, now=now))
        fire_at_once(session, schedule, slot_at=schedule.run_at, reason=WAS_PAST, now=now)
        return read(session, schedule.id, visible_to=None)
    return schedule


def change(
    session: Session,
    schedule_id: UUID,
    wanted: Mapping[str, Any],
    *,
    visible_to: UUID | None,
    now: datetime,
    states: Collection[datetime] | None = None,
    allowance: Allowance = ANYTHING,
    from_code: bool = False,
) -> ScheduleRecord:
    """Change a schedule; fields as in NewSchedule, and what is left out stays.

    `states`: the `updated_at` that the caller may have read (If-Match), None for any. Raises NotFound, Outdated,
    Refused, TypeNotAllowed, QuotaReached for one that is to run at once, or Conflict for a name that is taken, and for
    a schedule of the code, which people (`from_code` false) only enable and disable.

    A new rule begins now: slots of the old one that have come and were not looked at are recorded as missed.
    """
    old = _locked(session, schedule_id, wanted, visible_to=visible_to, states=states, from_code=from_code)
    values = dict(wanted)
    run_if_past = values.pop("run_if_past", False)
    if "task" in values or "workflow" in values:
        values |= _target_values(session, old, values.pop("task", None), values.pop("workflow", None), from_code, now)
    if values.get("cron") is not None and "run_at" not in values:
        values["run_at"] = None
    elif values.get("run_at") is not None and "cron" not in values:
        values["cron"] = None
    new = {each.name: values.get(each.name, getattr(old, each.name)) for each in fields(old)}
    values["version"] = old.version + any(new[name] != getattr(old, name) for name in VERSIONED)
    rule, is_past = Rule(**{name: new[name] for name in RULE_FIELDS}), False
    if rule != Rule.of(old):
        is_past = check_rule(rule, run_if_past=run_if_past, now=now)
    if "enabled" in values:
        values["withdrawn"] = False  # who says so decides from now on, whatever was in the code
    if rule != Rule.of(old) or new["enabled"] != old.enabled:
        _settle(session, old, now=now)
        values |= {"accounted_until": now, "next_at": rule.after(now) if new["enabled"] else None, "problem": None}
        if not new["enabled"]:
            _give_up_queued(session, old, now=now)
            values["queued_slot_at"] = None
    write(session, schedule_id, values | {"updated_at": now})
    changed = read(session, schedule_id, visible_to=None)
    if changed.target != old.target or (changed.enabled and not old.enabled):
        targets.check(session, changed, allowance, now=now)
    if is_past and changed.enabled and changed.run_at is not None:
        allowance.room_of(changed.owner_id)(targets.places_of(session, changed, now=now))
        fire_at_once(session, changed, slot_at=changed.run_at, reason=WAS_PAST, now=now)
    return read(session, schedule_id, visible_to=None)


def run_now(
    session: Session,
    schedule_id: UUID,
    *,
    visible_to: UUID | None,
    now: datetime,
    draft_id: UUID | None = None,
    allowance: Allowance = ANYTHING,
) -> Draft:
    """Start what the schedule says at once, whatever its rule, its overlap policy and `enabled` say.

    Recorded as a slot of this moment. Raises NotFound, Conflict when nothing can be submitted, TypeNotAllowed, or
    QuotaReached.
    """
    schedule = read(session, schedule_id, visible_to=visible_to, lock=True)
    reason = targets.why_not(session, schedule, now=now)
    if reason is None and not owner_is_active(session, schedule.owner_id):
        reason = "the owner's account is disabled"
    if reason is not None:
        raise Conflict(f"The schedule cannot be run: {reason}.")
    targets.check(session, schedule, allowance, now=now)
    allowance.room_of(schedule.owner_id)(targets.places_of(session, schedule, now=now))
    return fire_at_once(session, schedule, slot_at=now, reason=ASKED_FOR, now=now, draft_id=draft_id)


def delete(
    session: Session, schedule_id: UUID, *, visible_to: UUID | None, states: Collection[datetime] | None = None
) -> None:
    """Forget a schedule and its slots; tasks that it submitted stay. `states` as above.

    Raises NotFound, Outdated, or Conflict for one that is in the code.
    """
    schedule = read(session, schedule_id, visible_to=visible_to, lock=True)
    check_state(schedule, states)
    check_deletable(schedule)
    session.connection().execute(sa.delete(SCHEDULES).where(SCHEDULES.c.id == schedule_id))


def fire_at_once(
    session: Session,
    schedule: ScheduleRecord,
    *,
    slot_at: datetime,
    reason: str,
    now: datetime,
    draft_id: UUID | None = None,
) -> Draft:
    """One slot, outside of the schedule's course. Raises Conflict if that very moment has its row already."""
    draft = targets.draft_of(schedule, slot_at=slot_at, starts_at=now, now=now, draft_id=draft_id)
    decision = Decision(slot_at=slot_at, state=SlotState.FIRED, reason=reason)
    if not firing.record(session, [(schedule.id, decision, draft)], now=now):
        raise Conflict(f"The slot of {slot_at:%Y-%m-%dT%H:%M:%SZ} has its task already; GET /slots names it.")
    targets.store(session, [(schedule, draft)], now=now)
    if schedule.run_at == slot_at:
        column = "last_run_id" if isinstance(draft, RunDraft) else "last_task_id"
        write(session, schedule.id, {"last_slot_at": slot_at, column: draft.id})
    return draft


def _locked(
    session: Session,
    schedule_id: UUID,
    wanted: Mapping[str, Any],
    *,
    visible_to: UUID | None,
    states: Collection[datetime] | None,
    from_code: bool,
) -> ScheduleRecord:
    """The schedule as it is, locked, in a state that the caller has read, and with nobody in the way of a new name."""
    if wanted.get("name") is not None:  # the lock of names comes before that of the row, here as for a new schedule
        before = read(session, schedule_id, visible_to=visible_to)
        check_name(session, before.owner_id, None if wanted["name"] == before.name else wanted["name"])
    old = read(session, schedule_id, visible_to=visible_to, lock=True)
    check_state(old, states)
    if not from_code:
        check_code(old, wanted)
    return old


def _target_values(
    session: Session,
    old: ScheduleRecord,
    task: TaskTemplate | None,
    workflow: WorkflowTemplate | None,
    from_code: bool,
    now: datetime,
) -> dict[str, Any]:
    """The new target and its schema. A payload that stays is still of the schema that it was accepted under.

    What stands in the code is of the release that brings it, even if it reads as before.
    """
    stays = not from_code and targets.keeps_payload(old.target, task)
    target = targets.target_of(
        session,
        task,
        workflow,
        owner_id=old.owner_id,
        time_zone=old.time_zone,
        now=now,
        accepted_under=old.schema_hash if stays else None,
    )
    return {"target": target, "schema_hash": old.schema_hash if stays else targets.schema_hash_of(target)}


def _settle(session: Session, schedule: ScheduleRecord, *, now: datetime) -> None:
    """Give a row to every slot that came before this change and was not looked at."""
    while schedule.enabled and (occurrences := what_has_come(schedule, now)).slots:
        missed = (Decision(slot_at=slot, state=SlotState.MISSED, reason=CHANGED) for slot in occurrences.slots)
        firing.record(session, [(schedule.id, each, None) for each in missed], now=now)
        schedule = replace(schedule, accounted_until=occurrences.accounted_until)


def _give_up_queued(session: Session, schedule: ScheduleRecord, *, now: datetime) -> None:
    if schedule.queued_slot_at is not None:
        given_up = Decision(slot_at=schedule.queued_slot_at, state=SlotState.SKIPPED, reason=DISABLED)
        firing.record(session, [(schedule.id, given_up, None)], now=now)


def write(session: Session, schedule_id: UUID, values: Mapping[str, Any]) -> None:
    """Set columns of a schedule, whatever they hold."""
    session.connection().execute(sa.update(SCHEDULES).where(SCHEDULES.c.id == schedule_id).values(**values))
