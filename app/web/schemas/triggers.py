"""What triggers, events and matches look like in requests and answers."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import marshmallow as ma

from app.models import MatchState, Priority, TriggerRecord
from app.services.submission import MAX_RETRIES
from app.services.triggers import EventView, NewEvent, NewTrigger, TaskTemplate, WorkflowTemplate
from app.services.triggers.reading import STATES
from app.web.fields import Instant, Verbatim, matching, one_of, text, whole
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.schedules import FlagInQuery
from app.web.schemas.tasks import url_field
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS
from tasks.masking import mask_named, mask_url

EVENT_NAME = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}"
MAX_NAME = 200
OWNED = frozenset({"id", "owner", "created_at", "updated_at", "links"})
TEMPLATE = {"description": 'Templates as in workflows; {"$from": "event.data.NAME"} refers to the event'}
KEY = {"description": "A text, or a template that comes to one", "type": ["string", "object", "null"]}


def event_name(**options: Any) -> strict.Text:
    """The name of an event."""
    said = {"description": "What happened", "examples": ["order.paid"], **options.pop("metadata", {})}
    return matching(
        EVENT_NAME, "must be 1 to 100 of A-Z, a-z, 0-9, _ . : / -, a letter or digit first", metadata=said, **options
    )


class Template(Verbatim):
    """A template, or a condition, that PostgreSQL can store; the service checks what it says."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return strict.Json(allow_none=True).deserialize(value)


class TriggerTask(StrictSchema):
    """A submission of templates over the event."""

    type = text(100, required=True, metadata={"description": "Of each task"})
    payload = Template(TEMPLATE, required=True, allow_none=True, error_messages={"required": "is missing"})
    name = text(MAX_NAME, allow_none=True, metadata={"description": "For people; not unique"})
    priority = one_of(Priority, metadata={"description": "normal unless given"})
    max_retries = whole(0, MAX_RETRIES, metadata={"description": "The type's unless given"})
    timeout = whole(
        1, MAX_TIMEOUT_SECONDS, allow_none=True, metadata={"description": "Seconds; the type's unless given"}
    )
    labels = Template({"type": "object", "description": "Texts, or templates that come to texts"})
    ordering_key = Template(KEY, allow_none=True)
    concurrency_key = Template(KEY, allow_none=True)
    callback_url = url_field(allow_none=True, metadata={"description": "Gets a POST when the task is finished"})

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> TaskTemplate:
        """As the service takes it."""
        return TaskTemplate(type=fields.pop("type"), payload=fields.pop("payload"), fields=fields)


class TriggerWorkflow(StrictSchema):
    """A workflow, and a template for the input of its runs."""

    name = text(100, required=True, metadata={"description": "Of a workflow of yours, or of the service"})
    input_ = Template(TEMPLATE | {"type": "object"}, data_key="input", load_default=dict)

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> WorkflowTemplate:
        """As the service takes it."""
        return WorkflowTemplate(name=fields["name"], input=fields["input_"])


class TriggerFields(StrictSchema):
    """What can be said of a trigger, at first and later."""

    read_only = OWNED

    event = event_name()
    when = Template(
        {"description": "A condition, as of a step of a workflow; null: every event of the name"},
        attribute="condition",
        allow_none=True,
    )
    task = ma.fields.Nested(
        TriggerTask(),
        error_messages={"null": "must be an object"},
        metadata={"description": "What is submitted; or else `workflow`"},
    )
    workflow = ma.fields.Nested(
        TriggerWorkflow(),
        error_messages={"null": "must be an object"},
        metadata={"description": "What a run is started of"},
    )
    name = text(MAX_NAME, allow_none=True, metadata={"description": "For people; not unique"})
    enabled = strict.Flag(metadata={"description": "Whether it starts anything now; true unless given"})


class CreateTrigger(TriggerFields):
    """A new trigger: an event, and a task or a workflow."""

    event = event_name(required=True)

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewTrigger:
        """As the service takes it."""
        return NewTrigger(**fields)


class ChangeTrigger(TriggerFields):
    """A change; what is left out stays."""


class TriggerView(ma.Schema):
    """A trigger."""

    id = ma.fields.UUID(required=True)
    owner = ma.fields.UUID(attribute="owner_id", required=True, allow_none=True)
    name = ma.fields.String(required=True, allow_none=True)
    event = ma.fields.String(required=True)
    when = Verbatim({"description": "null: every event of the name"}, attribute="condition", required=True)
    task = ma.fields.Function(
        lambda trigger: shown_task(trigger.target),
        required=True,
        metadata={"type": ["object", "null"], "description": "Secrets in it show as [redacted]"},
    )
    workflow = ma.fields.Function(
        lambda trigger: shown_workflow(trigger.target), required=True, metadata={"type": ["object", "null"]}
    )
    enabled = ma.fields.Boolean(required=True)
    created_at = Instant(required=True, metadata={"description": "Earlier events do not concern it"})
    updated_at = Instant(required=True)
    links = ma.fields.Function(
        lambda trigger: {"self": trigger_path(trigger), "matches": f"{trigger_path(trigger)}/matches"},
        required=True,
        metadata={
            "type": "object",
            "properties": {"self": {"type": "string"}, "matches": {"type": "string"}},
            "description": "Paths of what belongs to it",
        },
    )


def shown_task(target: dict[str, Any]) -> Any:
    """The template without the secrets of its payload, and of the callback's address; None for a workflow."""
    found = target.get("task")
    if found is None:
        return None
    shown = {**found, "payload": mask_named(found["payload"])}
    return shown | {"callback_url": mask_url(found["callback_url"])} if found.get("callback_url") else shown


def shown_workflow(target: dict[str, Any]) -> Any:
    """The workflow's name, and the input without its secrets; None for a task."""
    found = target.get("workflow")
    return found and {**found, "input": mask_named(found["input"])}


def trigger_path(trigger: TriggerRecord) -> str:
    """Where a trigger is read."""
    return f"/api/v1/triggers/{trigger.id}"


def event_path(event_id: UUID) -> str:
    """Where an event is read."""
    return f"/api/v1/events/{event_id}"


class TriggerList(ma.Schema):
    """A page of triggers, newest first."""

    items = ma.fields.List(ma.fields.Nested(TriggerView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class TriggerFilter(PageQuery):
    """Query parameters of the list of triggers."""

    event = event_name(load_default=None, metadata={"description": "Only those that listen for it"})
    enabled = FlagInQuery(load_default=None, metadata={"description": "Only those that start work now, or do not"})
    q = text(MAX_NAME, load_default=None, metadata={"description": "Part of the name, event, task type or workflow"})


class MatchView(ma.Schema):
    """An event for which a trigger's condition held, and what was started."""

    event_id = ma.fields.UUID(required=True)
    trigger_id = ma.fields.UUID(required=True)
    state = ma.fields.String(required=True, metadata={"enum": [word.value for word in MatchState]})
    task_id = ma.fields.UUID(required=True, allow_none=True)
    run_id = ma.fields.UUID(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True, metadata={"description": "Why it could start nothing"})
    at = Instant(required=True)


class MatchList(ma.Schema):
    """A page of matches, newest first."""

    items = ma.fields.List(ma.fields.Nested(MatchView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class SendEvent(StrictSchema):
    """Something that happened elsewhere."""

    read_only = frozenset({"id", "owner", "received_at", "links"})

    name = event_name(required=True)
    data = strict.Json(allow_none=True, load_default=None, metadata={"description": "What is known of it: any JSON"})
    ordering_key = text(
        MAX_NAME,
        load_default=None,
        allow_none=True,
        metadata={"description": "Your events with the same key are applied one at a time, in their order"},
    )

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewEvent:
        """As the service takes it."""
        return NewEvent(**fields)


class OutsideEventView(ma.Schema):
    """Something that happened elsewhere."""

    id = ma.fields.UUID(required=True)
    owner = ma.fields.UUID(attribute="owner_id", required=True, allow_none=True)
    name = ma.fields.String(required=True)
    data = ma.fields.Function(
        lambda event: mask_named(event.data),
        required=True,
        metadata={"type": ["array", "boolean", "null", "number", "object", "string"], "items": {},
                  "description": "Secrets in it show as [redacted]"},
    )  # fmt: skip
    received_at = Instant(required=True)
    applied_at = Instant(required=True, allow_none=True, metadata={"description": "null: not all triggers are applied"})
    task_id = ma.fields.UUID(required=True, metadata={"description": "The task that applies the triggers"})
    links = ma.fields.Function(
        lambda event: {"self": event_path(event.id), "task": f"/api/v1/tasks/{event.task_id}"},
        required=True,
        metadata={"type": "object", "properties": {"self": {"type": "string"}, "task": {"type": "string"}}},
    )


class UnmatchedView(ma.Schema):
    """A trigger that listened for an event, and whose condition did not hold."""

    trigger_id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True)


class TriggerCounts(ma.Schema):
    """What became of the triggers that listened for an event."""

    started = ma.fields.Integer(required=True)
    unmatched = ma.fields.Integer(required=True)
    refused = ma.fields.Integer(required=True, metadata={"description": "Matched, and could start nothing"})


class OutsideEventDetails(OutsideEventView):
    """An event with what it started, and which triggers did not match and why."""

    state = ma.fields.String(
        required=True,
        metadata={
            "enum": list(STATES),
            "description": "Of its triggers. stopped: their task has ended, and not all are applied",
        },
    )
    summary = ma.fields.String(required=True, metadata={"description": "The same in one sentence"})
    triggers = ma.fields.Nested(TriggerCounts, required=True)
    matches = ma.fields.List(ma.fields.Nested(MatchView), required=True, metadata={"description": "The first 100"})
    unmatched = ma.fields.List(
        ma.fields.Nested(UnmatchedView),
        attribute="unmatched_triggers",
        required=True,
        metadata={"description": "The first 100"},
    )

    @ma.pre_dump
    def flat(self, view: EventView, **_: Any) -> SimpleNamespace:
        """The event and what became of it side by side."""
        event = view.event
        return SimpleNamespace(
            **{name: getattr(event, name) for name in event.__slots__},
            state=view.state,
            summary=view.summary,
            triggers={"started": view.started, "refused": view.refused, "unmatched": event.unmatched},
            matches=view.matches,
            unmatched_triggers=[
                {**each, "name": view.names.get(UUID(each["trigger_id"]))} for each in event.unmatched_sample
            ],
        )


class OutsideEventList(ma.Schema):
    """A page of events, newest first."""

    items = ma.fields.List(ma.fields.Nested(OutsideEventView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class OutsideEventFilter(PageQuery):
    """Query parameters of the list of events."""

    name = event_name(load_default=None, metadata={"description": "Only those of this name"})
