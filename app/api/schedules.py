"""/schedules: rules that submit tasks, once or by cron, and what became of each of their slots.

In a path, what is a UUID is the id of a schedule, and anything else its name.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import current_app
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from app.clock import utcnow
from app.database import Session
from app.errors import Refused
from app.models import ScheduleRecord, SlotRecord, TaskRecord
from app.models.page import Page
from app.services import schedules, workflows
from app.services.schedules import NewSchedule, Preview, Put
from app.services.tasks import records as task_service
from app.services.workflows import RunView
from app.web import quotas
from app.web.access import current_owner_id, visible_owner
from app.web.blueprint import LOCATION, Blueprint, Created
from app.web.fields import text
from app.web.requests.etags import IfMatch, etag_header
from app.web.requests.idempotency import key_of
from app.web.schemas.runs import RunDetails, run_path
from app.web.schemas.schedules import (
    ChangeSchedule,
    CreateSchedule,
    PreviewSchedule,
    PreviewView,
    PutSchedule,
    ScheduleFilter,
    ScheduleList,
    SchedulePut,
    ScheduleView,
    SlotFilter,
    SlotList,
    schedule_path,
)
from app.web.schemas.tasks import TaskView, task_path
from app.web.transactions import in_transaction, transaction
from taskledger_sdk.payload.fields import UUID_TEXT

blueprint = Blueprint("schedules", __name__, url_prefix="/api/v1", description="Tasks at set times, once or again")

SCHEDULE = [
    {
        "name": "schedule_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "Its id, or its name: yours, else the service's",
    }
]
NAME = text(200)
ETAG = {"ETag": {"description": "Changes when somebody changes the schedule", "schema": {"type": "string"}}}
EXAMPLES = {
    "recurring": {
        "summary": "Every weekday morning in Berlin",
        "value": {
            "name": "morning",
            "cron": "30 7 * * 1-5",
            "time_zone": "Europe/Berlin",
            "task": {"type": "reverse_string", "payload": "hello"},
        },
    },
    "once": {
        "summary": "Once",
        "value": {"run_at": "2030-01-01T00:00:00Z", "task": {"type": "uppercase_text", "payload": "happy new year"}},
    },
}


def _kind(word: str) -> ma.fields.Constant[str]:
    return ma.fields.Constant(word, required=True, metadata={"type": "string", "enum": [word]})


class StartedTask(TaskView):
    """A task that a slot started."""

    kind = _kind("task")


class StartedRun(RunDetails):
    """A run that a slot started."""

    kind = _kind("run")


class Started(OneOfSchema):
    """What a slot started."""

    type_field = "kind"
    type_schemas = {"task": StartedTask, "run": StartedRun}

    def get_obj_type(self, obj: Any) -> str:
        """Which of the two it is."""
        return "task" if isinstance(obj, TaskRecord) else "run"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a request to run at once says, for its Idempotency-Key."""

    schedule_id: UUID


@blueprint.post("/schedules")
@blueprint.arguments(CreateSchedule(), examples=EXAMPLES)
@blueprint.creates(ScheduleView(), "schedule", headers=LOCATION | ETAG)
@blueprint.problem(409, "There is one of this name already")
@blueprint.problem(422, "A bad expression, an unknown zone or task type, a run_at in the past, too many schedules")
def create_schedule(wanted: NewSchedule, headers: dict[str, Any]) -> Created[ScheduleRecord]:
    """Make a schedule."""
    key = key_of(headers, "schedules", wanted)
    most = current_app.config["MAX_SCHEDULES_PER_OWNER"]
    with transaction() as session:
        schedule, is_new = schedules.create_once(
            session,
            wanted,
            key=key,
            owner_id=current_owner_id(),
            most=most,
            now=utcnow(),
            allowance=quotas.allowance_in(session),
        )
    return Created(record=schedule, path=schedule_path(schedule), is_new=is_new, headers=etag_header(schedule))


@blueprint.get("/schedules")
@blueprint.pages(ScheduleList(), "schedules", query=ScheduleFilter())
def list_schedules(wanted: dict[str, Any]) -> Page[ScheduleRecord]:
    """List schedules, newest first."""
    with transaction(autocommit=True) as session:
        return schedules.find(
            session,
            visible_to=visible_owner(),
            enabled=wanted["enabled"],
            text=wanted["q"],
            before=wanted["before"],
            limit=wanted["limit"],
        )


@blueprint.post("/schedules/preview")
@blueprint.arguments(PreviewSchedule())
@blueprint.response(200, PreviewView())
@blueprint.problem(422, "A bad expression or an unknown zone")
def preview_schedule(wanted: dict[str, Any]) -> Preview:
    """See the next ten moments of an expression; nothing is stored."""
    return schedules.preview(wanted["cron"], time_zone=wanted["time_zone"], after=wanted["after"] or utcnow())


@blueprint.get("/schedules/<schedule_id>", parameters=SCHEDULE)
@blueprint.response(200, ScheduleView(), headers=ETAG)
def read_schedule(schedule_id: str) -> tuple[ScheduleRecord, dict[str, str]]:
    """Read a schedule, by id or by name."""
    with transaction(autocommit=True) as session:
        found = schedules.read(session, find_id(session, schedule_id), visible_to=visible_owner())
    return found, etag_header(found)


@blueprint.put("/schedules/<schedule_id>", parameters=SCHEDULE)
@blueprint.arguments(PutSchedule(), examples=EXAMPLES)
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(201, ScheduleView(), description="Made", headers=LOCATION | ETAG)
@blueprint.alt_response(200, schema=ScheduleView(), description="Replaced; or as it was, with the same ETag")
@blueprint.problem(409, "It is written in code")
@blueprint.problem(412, "Changed since it was read, or not there")
@blueprint.problem(422, "As for a new one")
def put_schedule(
    wanted: SchedulePut, headers: dict[str, Any], schedule_id: str
) -> tuple[ScheduleRecord, int, dict[str, str]]:
    """Make the schedule of this name, or replace it as a whole; the same again changes nothing.

    Left out, `enabled` stays as it is, so that what a person has paused stays paused.
    """
    with transaction() as session:
        options: dict[str, Any] = {"states": headers["states"], "keeps_enabled": wanted.keeps_enabled}
        options |= {"now": utcnow(), "allowance": quotas.allowance_in(session)}
        if UUID_TEXT.fullmatch(schedule_id):
            found, what = schedules.replace(
                session, UUID(schedule_id), wanted.schedule, visible_to=visible_owner(), **options
            )
        else:
            new, most = _named(wanted.schedule, schedule_id), current_app.config["MAX_SCHEDULES_PER_OWNER"]
            found, what = schedules.put(session, new, owner_id=current_owner_id(), most=most, **options)
    return found, 201 if what is Put.CREATED else 200, {"Location": schedule_path(found), **etag_header(found)}


@blueprint.patch("/schedules/<schedule_id>", parameters=SCHEDULE)
@blueprint.arguments(ChangeSchedule())
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(200, ScheduleView(), headers=ETAG)
@blueprint.problem(409, "There is one of this name already, or it is written in code")
@blueprint.problem(412, "Changed since it was read")
@blueprint.problem(422, "As for a new one")
def change_schedule(
    fields: dict[str, Any], headers: dict[str, Any], schedule_id: str
) -> tuple[ScheduleRecord, dict[str, str]]:
    """Change, enable or disable a schedule; a new rule begins now."""
    with transaction() as session:
        changed = schedules.change(
            session,
            find_id(session, schedule_id),
            fields,
            visible_to=visible_owner(),
            now=utcnow(),
            states=headers["states"],
            allowance=quotas.allowance_in(session),
        )
    return changed, etag_header(changed)


@blueprint.delete("/schedules/<schedule_id>", parameters=SCHEDULE)
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(204, description="Deleted, with its slots; the tasks stay")
@blueprint.problem(409, "It is written in code")
@blueprint.problem(412, "Changed since it was read")
def delete_schedule(headers: dict[str, Any], schedule_id: str) -> None:
    """Delete a schedule and its slots; tasks that it submitted stay."""
    with transaction() as session:
        schedules.delete(session, find_id(session, schedule_id), visible_to=visible_owner(), states=headers["states"])


@blueprint.post("/schedules/<schedule_id>/run", parameters=SCHEDULE)
@blueprint.creates(
    Started(),
    "task",
    description="The task, or the run",
    repeated="The Idempotency-Key was used before: what it started",
)
@blueprint.problem(409, "Its task type or workflow is not known here, or its owner's account is disabled")
def run_schedule(headers: dict[str, Any], schedule_id: str) -> Created[TaskRecord | RunView]:
    """Start the schedule's task or run at once, whatever its rule says; recorded as a slot of this moment."""

    def run(session: Session) -> tuple[TaskRecord | RunView, bool]:
        allowance, chosen = quotas.allowance_in(session), find_id(session, schedule_id)
        key = key_of(headers, "schedules.run", RunRequest(schedule_id=chosen))
        id_, is_new = schedules.run_once_now(
            session, chosen, key=key, visible_to=visible_owner(), now=utcnow(), allowance=allowance
        )
        found = schedules.read(session, chosen, visible_to=visible_owner())
        if "task" in found.target:
            return task_service.read(session, id_, owner=visible_owner()), is_new
        return workflows.view(session, workflows.read(session, id_, visible_to=visible_owner())), is_new

    started, is_new = in_transaction(run)
    path = task_path(started) if isinstance(started, TaskRecord) else run_path(started)
    return Created(record=started, path=path, is_new=is_new)


@blueprint.get("/schedules/<schedule_id>/slots", parameters=SCHEDULE)
@blueprint.pages(SlotList(), "slots", query=SlotFilter(), key=datetime.fromisoformat)
def list_slots(wanted: dict[str, Any], schedule_id: str) -> Page[SlotRecord]:
    """List what became of each slot, newest first."""
    with transaction(autocommit=True) as session:
        found = schedules.read(session, find_id(session, schedule_id), visible_to=visible_owner())
        return schedules.slots(
            session,
            found.id,
            state=wanted["state"],
            before=wanted["before"],
            limit=wanted["limit"],
        )


def find_id(session: Session, given: str) -> UUID:
    """The schedule that a path means. Raises NotFound for a name that no schedule has; an id may be nobody's."""
    if UUID_TEXT.fullmatch(given):
        return UUID(given)
    return schedules.id_of(session, given, mine=current_owner_id(), visible_to=visible_owner())


def _named(wanted: NewSchedule, name: str) -> NewSchedule:
    """With the name of the path. Raises Refused for a body that has another one."""
    if wanted.name not in (None, name):
        raise Refused({"name": [f"is not the name in the path, {name[:200]!r}: to rename it, PATCH it"]})
    try:
        return replace(wanted, name=NAME.deserialize(name))
    except ma.ValidationError as error:
        raise Refused({"name": error.messages}) from None
