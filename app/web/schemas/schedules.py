"""What a schedule looks like in requests and answers."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import marshmallow as ma
from marshmallow import validate
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from app.errors import Refused
from app.models import Misfire, Overlap, ScheduleRecord, SlotState
from app.services.schedules import NewSchedule, TaskTemplate, WorkflowTemplate
from app.web.fields import Instant, Verbatim, one_of, text, whole
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.fairness import sharing_fields
from app.web.schemas.tasks import changeable_fields
from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.payload import PayloadCheck
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.registry import get_type, load_types, offered_types
from tasks.masking import mask_named, mask_url, masked

MAX_CRON, MAX_ZONE = 200, 100
MAX_CAPPED, MAX_JITTER_SECONDS = 100, 86_400
TIMES = ("scheduled_at", "expires_at")  # of a submission; here the schedule says when
READ_ONLY = frozenset({
    "id", "owner", "next_at", "queued_slot_at", "last_slot_at", "last_task_id", "last_run_id", "problem", "created_at",
    "updated_at", "links", "from_code", "version",
})  # fmt: skip


class TemplateShape(StrictSchema):
    """Base of the schema of each type's templates."""

    def _why_unknown(self, name: str) -> str:
        return "is not taken here: the schedule says when" if name in TIMES else super()._why_unknown(name)


@cache
def _shape(name: str, payload: PayloadCheck) -> ma.Schema:
    title = "".join(part.title() for part in name.split("_"))
    declared = {
        "type": strict.Text(required=True, validate=validate.Equal(name), metadata={"enum": [name]}),
        "payload": Verbatim(
            payload.json_schema(), required=True, allow_none=True, error_messages={"required": "is missing"}
        ),
        **{name: field for name, field in changeable_fields().items() if name not in TIMES},
        **sharing_fields(),
    }
    return TemplateShape.from_dict(declared, name=f"{title}Template")()


class TaskTemplateSchema(OneOfSchema):
    """A submission without its times: the schedule says when."""

    @property
    def type_schemas(self) -> dict[str, ma.Schema]:  # type: ignore[override]  # which is only read
        """The schemas by task type, as OpenAPI shows them."""
        types = [each for each in load_types().values() if not each.internal]
        return {each.name: _shape(each.name, each.payload) for each in types}

    def _load(self, data: Any, **_: Any) -> TaskTemplate:
        """Choose by type. Raises Refused for one that is not known."""
        if not isinstance(data, dict):
            raise strict.wrong("an object", data)
        if not isinstance(data.get("type"), str):
            raise ma.ValidationError({"type": [f"must be one of {', '.join(offered_types())}"]})
        try:
            task_type = get_type(data["type"])
        except UnknownTaskType as error:
            raise Refused({"task": {"type": [str(error)]}}, code="unknown_task_type") from None
        if task_type.internal:
            raise Refused({"task": {"type": ["is submitted by the service itself only"]}})
        fields = _shape(task_type.name, task_type.payload).load(data)
        return TaskTemplate(type=fields.pop("type"), payload=fields.pop("payload"), fields=fields)


class WorkflowTemplateSchema(StrictSchema):
    """A workflow, and the input of the runs that slots start."""

    name = text(100, required=True, metadata={"description": "Of a workflow of yours, or of the service"})
    input_ = Verbatim(
        {"type": "object", "description": 'As the workflow takes it; {"$slot": "previous_month.date_from"} and so on'},
        data_key="input",
        load_default=dict,
    )

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> WorkflowTemplate:
        """As the service takes it."""
        return WorkflowTemplate(name=fields["name"], input=fields["input_"])


def _cron_field(**options: Any) -> strict.Text:
    said = {"description": "Five fields (minute hour day-of-month month day-of-week) or an alias such as @daily",
            "examples": ["30 2 * * 1-5"]}  # fmt: skip
    return text(MAX_CRON, metadata=said, **options)


def _zone_field(**options: Any) -> strict.Text:
    return text(MAX_ZONE, metadata={"description": "IANA name", "examples": ["Europe/Berlin"]}, **options)


class ScheduleFields(StrictSchema):
    """What can be said of a schedule, at first and later."""

    read_only = READ_ONLY

    name = text(
        200, allow_none=True, metadata={"description": "Unique within the account; its tasks take it if they have none"}
    )
    cron = _cron_field(allow_none=True)
    run_at = strict.Moment(allow_none=True, metadata={"description": "Instead of cron: once, at this moment"})
    run_if_past = strict.Flag(metadata={"description": "If run_at is past, run at once; otherwise that is refused"})
    time_zone = _zone_field()
    task = ma.fields.Nested(
        TaskTemplateSchema(),
        error_messages={"null": "must be an object"},
        metadata={"description": "What each slot submits; or else `workflow`"},
    )
    workflow = ma.fields.Nested(
        WorkflowTemplateSchema(),
        error_messages={"null": "must be an object"},
        metadata={"description": "What each slot starts a run of"},
    )
    misfire = one_of(Misfire, metadata={"description": "Slots noticed over 30 s late; run_once unless given"})
    misfire_cap = whole(1, MAX_CAPPED, metadata={"description": "run_all runs the newest so many; 10 unless given"})
    overlap = one_of(Overlap, metadata={"description": "While the last slot's task is unfinished; allow unless given"})
    jitter_seconds = whole(0, MAX_JITTER_SECONDS, metadata={"description": "Start up to so much after the slot"})
    starts_at = strict.Moment(allow_none=True, metadata={"description": "No slot before (with cron)"})
    ends_at = strict.Moment(allow_none=True, metadata={"description": "No slot then or later (with cron)"})
    enabled = strict.Flag(metadata={"description": "Whether it has slots now"})


class CreateSchedule(ScheduleFields):
    """A new schedule: a task or a workflow, and either cron or run_at."""

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewSchedule:
        """As the service takes it."""
        return NewSchedule(**fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulePut:
    """A whole schedule; `keeps_enabled`: it was not said whether it has slots now."""

    schedule: NewSchedule
    keeps_enabled: bool


class PutSchedule(ScheduleFields):
    """A whole schedule: what is left out is as in a new one, but for `enabled`, which stays as it is."""

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> SchedulePut:
        """As the service takes it."""
        return SchedulePut(schedule=NewSchedule(**fields), keeps_enabled="enabled" not in fields)


class ChangeSchedule(ScheduleFields):
    """A change; what is left out stays. cron takes the place of run_at, and the other way round."""


class ScheduleView(ma.Schema):
    """A schedule."""

    id = ma.fields.UUID(required=True)
    owner = ma.fields.UUID(attribute="owner_id", required=True, allow_none=True)
    name = ma.fields.String(required=True, allow_none=True)
    cron = ma.fields.String(required=True, allow_none=True)
    run_at = Instant(required=True, allow_none=True)
    time_zone = ma.fields.String(required=True)
    task = ma.fields.Function(
        lambda schedule: shown_task(schedule.target),
        required=True,
        metadata={"type": ["object", "null"], "description": "Secrets in it show as [redacted]"},
    )
    workflow = ma.fields.Function(
        lambda schedule: _shown_workflow(schedule.target), required=True, metadata={"type": ["object", "null"]}
    )
    misfire = ma.fields.String(required=True, metadata={"enum": [word.value for word in Misfire]})
    misfire_cap = ma.fields.Integer(required=True)
    overlap = ma.fields.String(required=True, metadata={"enum": [word.value for word in Overlap]})
    jitter_seconds = ma.fields.Integer(required=True)
    starts_at = Instant(required=True, allow_none=True)
    ends_at = Instant(required=True, allow_none=True)
    enabled = ma.fields.Boolean(required=True)
    next_at = Instant(required=True, allow_none=True, metadata={"description": "Next slot; null: none will come"})
    queued_slot_at = Instant(required=True, allow_none=True, metadata={"description": "Waits for the last task"})
    last_slot_at = Instant(required=True, allow_none=True, metadata={"description": "The newest slot that fired"})
    last_task_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "Its task"})
    last_run_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "Its run"})
    problem = ma.fields.String(required=True, allow_none=True, metadata={"description": "Why it cannot go on"})
    from_code = ma.fields.Function(
        lambda schedule: schedule.declared is not None,
        required=True,
        metadata={"type": "boolean", "description": "Whether it is written in a task package; people pause it only"},
    )
    version = ma.fields.Integer(
        required=True, metadata={"description": "Each change of what it does, or when, is the next"}
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
    links = ma.fields.Function(
        lambda schedule: {"self": schedule_path(schedule), "slots": f"{schedule_path(schedule)}/slots"},
        metadata={
            "type": "object",
            "properties": {"self": {"type": "string"}, "slots": {"type": "string"}},
            "description": "Paths of what belongs to it",
        },
        required=True,
    )


def shown_task(target: dict[str, Any]) -> Any:
    """As the tasks that it submits are shown: without the secrets of the payload, and of the callback's address."""
    found = target.get("task")
    if found is None:
        return None
    shown = {**found, "payload": masked(found["type"], found["payload"])}
    return shown | {"callback_url": mask_url(found["callback_url"])} if "callback_url" in found else shown


def _shown_workflow(target: dict[str, Any]) -> Any:
    found = target.get("workflow")
    return found and {**found, "input": mask_named(found["input"])}


def schedule_path(schedule: ScheduleRecord) -> str:
    """Where a schedule is read."""
    return f"/api/v1/schedules/{schedule.id}"


class ScheduleList(ma.Schema):
    """A page of schedules, newest first."""

    items = ma.fields.List(ma.fields.Nested(ScheduleView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class FlagInQuery(ma.fields.Boolean):
    """true or false in a query string."""

    default_error_messages = {"invalid": "must be true or false"}
    truthy = {"true"}
    falsy = {"false"}


class ScheduleFilter(PageQuery):
    """Query parameters of the list of schedules."""

    enabled = FlagInQuery(load_default=None, metadata={"description": "Only those that have slots now, or have not"})
    q = text(200, load_default=None, metadata={"description": "Part of the name, of cron or of the task type"})


class SlotView(ma.Schema):
    """What became of one slot."""

    slot_at = Instant(required=True)
    state = ma.fields.String(required=True, metadata={"enum": [word.value for word in SlotState]})
    task_id = ma.fields.UUID(required=True, allow_none=True)
    run_id = ma.fields.UUID(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)
    recorded_at = Instant(required=True, metadata={"description": "When that was decided"})


class SlotList(ma.Schema):
    """A page of slots, newest first."""

    items = ma.fields.List(ma.fields.Nested(SlotView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class SlotFilter(PageQuery):
    """Query parameters of the list of slots."""

    state = one_of(SlotState, load_default=None)


class PreviewSchedule(StrictSchema):
    """An expression to be shown."""

    cron = _cron_field(required=True)
    time_zone = _zone_field(load_default="UTC")
    after = strict.Moment(load_default=None, allow_none=True, metadata={"description": "Now unless given"})


class PreviewView(ma.Schema):
    """The next ten moments in the schedule's own zone."""

    items = ma.fields.List(ma.fields.DateTime(), required=True, metadata={"description": "With the zone's offset"})
    description = ma.fields.String(required=True, metadata={"description": "The expression in English"})
