"""/schedules: rules that submit tasks, once or by cron, and what became of each of their slots."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import current_app
from marshmallow_oneofschema.one_of_schema import OneOfSchema
from sqlalchemy.orm import Session

from app.clock import utcnow
from app.models import ScheduleRecord, SlotRecord, TaskRecord
from app.models.page import Page
from app.services import schedules, workflows
from app.services.schedules import NewSchedule, Preview
from app.services.tasks import records as task_service
from app.services.workflows import RunView
from app.web import quotas
from app.web.access import current_owner_id, visible_owner
from app.web.blueprint import Blueprint, Created
from app.web.requests.idempotency import key_of
from app.web.schemas.runs import RunDetails, run_path
from app.web.schemas.schedules import (
    ChangeSchedule,
    CreateSchedule,
    PreviewSchedule,
    PreviewView,
    ScheduleFilter,
    ScheduleList,
    ScheduleView,
    SlotFilter,
    SlotList,
    schedule_path,
)
from app.web.schemas.tasks import TaskView, task_path
from app.web.transactions import in_transaction, transaction

blueprint = Blueprint("schedules", __name__, url_prefix="/api/v1", description="Tasks at set times, once or again")

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
@blueprint.creates(ScheduleView(), "schedule")
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
    return Created(record=schedule, path=schedule_path(schedule), is_new=is_new)


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


@blueprint.get("/schedules/<uuid:schedule_id>")
@blueprint.response(200, ScheduleView())
def read_schedule(schedule_id: UUID) -> ScheduleRecord:
    """Read a schedule."""
    with transaction(autocommit=True) as session:
        return schedules.read(session, schedule_id, visible_to=visible_owner())


@blueprint.patch("/schedules/<uuid:schedule_id>")
@blueprint.arguments(ChangeSchedule())
@blueprint.response(200, ScheduleView())
@blueprint.problem(422, "As for a new one")
def change_schedule(fields: dict[str, Any], schedule_id: UUID) -> ScheduleRecord:
    """Change, enable or disable a schedule; a new rule begins now."""
    with transaction() as session:
        return schedules.change(
            session,
            schedule_id,
            fields,
            visible_to=visible_owner(),
            now=utcnow(),
            allowance=quotas.allowance_in(session),
        )


@blueprint.delete("/schedules/<uuid:schedule_id>")
@blueprint.response(204, description="Deleted, with its slots; the tasks stay")
def delete_schedule(schedule_id: UUID) -> None:
    """Delete a schedule and its slots; tasks that it submitted stay."""
    with transaction() as session:
        schedules.delete(session, schedule_id, visible_to=visible_owner())


@blueprint.post("/schedules/<uuid:schedule_id>/run")
@blueprint.creates(
    Started(),
    "task",
    description="The task, or the run",
    repeated="The Idempotency-Key was used before: what it started",
)
@blueprint.problem(409, "Its task type or workflow is not known here, or its owner's account is disabled")
def run_schedule(headers: dict[str, Any], schedule_id: UUID) -> Created[TaskRecord | RunView]:
    """Start the schedule's task or run at once, whatever its rule says; recorded as a slot of this moment."""
    key = key_of(headers, "schedules.run", RunRequest(schedule_id=schedule_id))

    def run(session: Session) -> tuple[TaskRecord | RunView, bool]:
        allowance = quotas.allowance_in(session)
        id_, is_new = schedules.run_once_now(
            session, schedule_id, key=key, visible_to=visible_owner(), now=utcnow(), allowance=allowance
        )
        found = schedules.read(session, schedule_id, visible_to=visible_owner())
        if "task" in found.target:
            return task_service.read(session, id_, owner=visible_owner()), is_new
        return workflows.view(session, workflows.read(session, id_, visible_to=visible_owner())), is_new

    started, is_new = in_transaction(run)
    path = task_path(started) if isinstance(started, TaskRecord) else run_path(started)
    return Created(record=started, path=path, is_new=is_new)


@blueprint.get("/schedules/<uuid:schedule_id>/slots")
@blueprint.pages(SlotList(), "slots", query=SlotFilter(), key=datetime.fromisoformat)
def list_slots(wanted: dict[str, Any], schedule_id: UUID) -> Page[SlotRecord]:
    """List what became of each slot, newest first."""
    with transaction(autocommit=True) as session:
        schedules.read(session, schedule_id, visible_to=visible_owner())
        return schedules.slots(
            session,
            schedule_id,
            state=wanted["state"],
            before=wanted["before"],
            limit=wanted["limit"],
        )
