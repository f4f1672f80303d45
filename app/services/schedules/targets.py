"""What a slot starts, a task or a run of a workflow: checked when it is set, and read when a slot fires."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from app.database import Session, to_json
from app.errors import NotFound, Refused
from app.models import Json, ScheduleRecord, TaskRecord, new_id
from app.services import workflows
from app.services.accounts.allowance import Allowance
from app.services.schedules.slot_values import filled
from app.services.submission import Submission, check_timeout, draft_unchecked
from app.services.submission import store as store_tasks
from app.services.workflows import Caller, NewRun, WorkflowRecord
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType, UpgradeFailed
from taskledger_sdk.registry import find_type, get_type
from taskledger_sdk.upgrades import upgraded

# Every slot copies the template, and hundreds are fired in one transaction.
MAX_TARGET = 32 * 1024
ZONE = "time_zone"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTemplate:
    """A submission without times: the schedule says when. `fields` are named as in a submission."""

    type: str
    payload: Json
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowTemplate:
    """A workflow by name, and the input of its runs; {"$slot": …} in it stands for what a slot knows of its moment."""

    name: str
    input: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDraft:
    """A run to be."""

    id: UUID
    input: dict[str, Any]
    starts_at: datetime


Draft = TaskRecord | RunDraft


def target_of(
    session: Session,
    task: TaskTemplate | None,
    workflow: WorkflowTemplate | None,
    *,
    owner_id: UUID | None,
    time_zone: str,
    now: datetime,
    accepted_under: str | None = None,
) -> dict[str, Any]:
    """The stored form of either. Raises Refused, so that a template cannot fail slot after slot.

    `accepted_under`: the schema of a payload that is stored already and stays; None for one that comes now.
    """
    if (task is None) == (workflow is None):
        raise Refused({"task": ["is missing: give either task or workflow"] if task is None else ["excludes workflow"]})
    if task is not None:
        return task_target(task, accepted_under)
    assert workflow is not None  # noqa: S101 (just asked)
    target = {"workflow": {"name": workflow.name, "input": workflow.input}}
    _check_size(target, "workflow")
    found = _workflow(session, workflow.name, owner_id=owner_id, now=now)
    try:
        definition = workflows.Definition.stored(found.definition)
        workflows.check_input(definition, filled(workflow.input, now, time_zone))
    except Refused as error:
        errors = error.errors if "workflow" in error.errors else {"workflow": error.errors}
        raise Refused(errors, code=error.code) from None
    return target


def task_target(template: TaskTemplate, accepted_under: str | None = None) -> dict[str, Any]:
    """The stored form; `accepted_under` as in target_of.

    Raises Refused with paths below `task`, so that a template cannot fail slot after slot.
    """
    try:
        task_type = get_type(template.type)
        if task_type.sensitive:
            raise Refused({"type": [f"{template.type} is sensitive: its payloads are not kept in schedules"]})
        task_type.check(upgraded(task_type.upgrade, template.payload, accepted_under))
        check_timeout(template.fields.get("timeout"))
    except UnknownTaskType as error:
        raise Refused({"task": {"type": [str(error)]}}, code="unknown_task_type") from None
    except PayloadRefused as error:
        raise Refused({"task": error.errors}, code="payload_refused") from None
    except UpgradeFailed as error:
        raise Refused({"task": {"payload": [str(error)]}}, code="payload_refused") from None
    except Refused as error:
        raise Refused({"task": error.errors}) from None
    target = {"task": {"type": template.type, "payload": template.payload, **template.fields}}
    _check_size(target, "task")
    return target


def schema_hash_of(target: Mapping[str, Any]) -> str | None:
    """The schema that the payload of a target which was checked just now was accepted under; None for a workflow."""
    return get_type(target["task"]["type"]).schema_hash if "task" in target else None


def keeps_payload(old: Mapping[str, Any], wanted: TaskTemplate | None) -> bool:
    """Whether a template leaves the payload of a target as it is."""
    if wanted is None or "task" not in old or old["task"]["type"] != wanted.type:
        return False
    return _canonical(old["task"]["payload"]) == _canonical(wanted.payload)


def _canonical(payload: Json) -> str:
    """Equal for payloads that are the same JSON: to Python, true is 1."""
    return json.dumps(payload, sort_keys=True)


def why_not(session: Session, schedule: ScheduleRecord, *, now: datetime) -> str | None:
    """Why this process cannot start what the schedule says; None when it can."""
    target = schedule.target
    if "task" in target:
        name = target["task"]["type"]
        return None if find_type(name) is not None else f"task type {name!r} is not known to this dispatcher"
    try:
        template = WorkflowTemplate(**target["workflow"])
        target_of(session, None, template, owner_id=schedule.owner_id, time_zone=schedule.time_zone, now=now)
        found = _workflow(session, template.name, owner_id=schedule.owner_id, now=now)
    except Refused as error:
        return str(error)
    return None if found.active else f"workflow {found.name!r} is not active"


def types_of(session: Session, schedule: ScheduleRecord, *, now: datetime) -> list[str]:
    """The task types that a slot may submit. Raises Refused for a workflow that is gone."""
    if "task" in schedule.target:
        return [schedule.target["task"]["type"]]
    return workflows.types_of(workflows.definition_of(session, _of_target(session, schedule, now).version_id))


def calls_back(schedule: ScheduleRecord) -> bool:
    """Whether the tasks of its slots are to call somebody when they end."""
    return schedule.target.get("task", {}).get("callback_url") is not None


def places_of(session: Session, schedule: ScheduleRecord, *, now: datetime) -> int:
    """How many places of its owner's quota a slot takes: one, or one for each step of a run. Raises Refused."""
    return 1 if "task" in schedule.target else workflows.places_of(session, _of_target(session, schedule, now))


def check(session: Session, schedule: ScheduleRecord, allowance: Allowance, *, now: datetime) -> None:
    """Raises TypeNotAllowed for a schedule whose slots would submit what may not be used."""
    allowance.check_types(types_of(session, schedule, now=now))
    if calls_back(schedule):
        allowance.check_callback()


def _of_target(session: Session, schedule: ScheduleRecord, now: datetime) -> WorkflowRecord:
    return _workflow(session, schedule.target["workflow"]["name"], owner_id=schedule.owner_id, now=now)


def draft_of(
    schedule: ScheduleRecord, *, slot_at: datetime, starts_at: datetime, now: datetime, draft_id: UUID | None = None
) -> Draft:
    """What a slot starts; nothing is stored yet."""
    if "task" in schedule.target:
        return _task_draft(schedule, starts_at=starts_at, now=now, draft_id=draft_id)
    given = filled(schedule.target["workflow"]["input"], slot_at, schedule.time_zone)
    return RunDraft(id=draft_id or new_id(), input=given, starts_at=starts_at)


def _task_draft(schedule: ScheduleRecord, *, starts_at: datetime, now: datetime, draft_id: UUID | None) -> TaskRecord:
    """The task of a slot, with the payload as it was accepted, and under the same schema.

    What its type takes from the payload (its ordering key, say) is taken from the upgraded one.
    """
    submission = submission_of(schedule, starts_at=starts_at)
    payload, upgrade = submission.payload, get_type(submission.type).upgrade
    if upgrade:
        with contextlib.suppress(UpgradeFailed):  # its attempts will tell
            submission = replace(submission, payload=upgraded(upgrade, payload, schedule.schema_hash))
    draft = draft_unchecked(submission, owner_id=schedule.owner_id, now=now, task_id=draft_id)
    return replace(draft, payload=payload, schema_hash=schedule.schema_hash)


def store(session: Session, drafts: list[tuple[ScheduleRecord, Draft]], *, now: datetime) -> None:
    """Store tasks in one statement, and start runs one by one."""
    store_tasks(session, [draft for _, draft in drafts if isinstance(draft, TaskRecord)], is_urgent=False)
    for schedule, draft in drafts:
        if isinstance(draft, RunDraft):
            found = _workflow(session, schedule.target["workflow"]["name"], owner_id=schedule.owner_id, now=now)
            given = _with_zone(draft.input, found, schedule)
            wanted = NewRun(input=given, starts_at=draft.starts_at if draft.starts_at > now else None)
            workflows.start(session, found, wanted, owner_id=schedule.owner_id, now=now, run_id=draft.id)


def _with_zone(given: dict[str, Any], workflow: WorkflowRecord, schedule: ScheduleRecord) -> dict[str, Any]:
    """The input, with the zone that cron was read in where the workflow asks for a `time_zone` and nobody gave one.

    So the days of a run (an invoice's date) are those of its slot, also where the zone of the schedule is changed.
    """
    asked = workflows.Definition.stored(workflow.definition).inputs or {}
    if schedule.cron is None or ZONE not in asked or given.get(ZONE) is not None:
        return given
    return {**given, ZONE: schedule.time_zone}


def _workflow(session: Session, name: str, *, owner_id: UUID | None, now: datetime) -> WorkflowRecord:
    try:
        return workflows.read_workflow(session, name, caller=Caller(owner_id=owner_id), now=now)
    except NotFound as error:
        raise Refused({"workflow": {"name": [str(error)]}}) from None


def _check_size(target: Mapping[str, Any], name: str) -> None:
    size = len(to_json(target))
    if size > MAX_TARGET:
        said = f"has {size} bytes; {MAX_TARGET} are allowed: give the task a reference to what is larger"
        raise Refused({name: [said]})


def submission_of(schedule: ScheduleRecord, *, starts_at: datetime | None) -> Submission:
    """The submission of one slot; a task without a name of its own takes the schedule's."""
    template = schedule.target["task"]
    name = template.get("name") or schedule.name
    return Submission(**{**template, "name": name, "scheduled_at": starts_at})
