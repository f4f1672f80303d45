"""What a task looks like in requests and answers."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from marshmallow import validate
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from app.models import Priority, Receipt, Status, TaskRecord
from app.services.submission import MAX_RETRIES, Submission, chosen_ids
from app.services.submission.batches import KEY_FIELD
from app.services.submission.chosen_ids import ChosenId
from app.web.fields import (
    Few,
    Instant,
    QueryMoment,
    Several,
    ShownPayload,
    Verbatim,
    matching,
    one_of,
    text,
    type_name,
    whole,
)
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.responses.fast_dump import FastView
from app.web.responses.masking import digest_secrets, presentable
from app.web.schemas.fairness import sharing_fields, unique_field
from taskledger_sdk.payload import PayloadCheck
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.containers import Entries
from taskledger_sdk.payload.rules import NO_NUL
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, NAME, TaskType, get_type, load_types, offered_types
from tasks.http_rules import HTTP_URL
from tasks.masking import mask_url

MAX_LABELS, MAX_LABEL = 32, 256
UNSAID = frozenset({"request_id", "traceparent", KEY_FIELD})
"""What an item of a batch says of the request that it stands for, and not of its task."""
LABEL_KEY = r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}"
MAX_WAIT_SECONDS = 60
MAX_URL = 2_048  # each delivery to it keeps a copy
LINKS = {
    "self": "",
    "events": "/events",
    "attempts": "/attempts",
    "logs": "/logs",
    "children": "/children",
    "steps": "/steps",
    "signals": "/signals",
}
READ_ONLY = frozenset({
    "id", "status", "reason", "result", "error", "queue", "attempt", "progress", "owner", "links", "due_at",
    "created_at", "started_at", "finished_at", "updated_at", "cancel_requested_at", "cancel_receipt",
    "parent_id", "waits_for",
})  # fmt: skip


def _few(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise ma.ValidationError(f"must be at most {MAX_LABELS}")


def labels_field() -> Entries:
    """Strings by name, to filter by."""
    key_fault = "its name must start with a letter or digit and hold up to 63 of A-Z, a-z, 0-9, _ . / -"
    return Entries(
        keys=matching(LABEL_KEY, key_fault),
        values=strict.Text(
            validate=validate.Length(max=MAX_LABEL, error="must have at most {max} characters"),
            metadata={"pattern": NO_NUL},
        ),
        validate=_few,
        metadata={
            "description": "Strings to find the task by, with ?label=key:value",
            "maxProperties": MAX_LABELS,
            "allOf": [{"propertyNames": {"pattern": f"^{LABEL_KEY}$"}}],
            "examples": [{"team": "billing"}],
        },
    )


def changeable_fields() -> dict[str, ma.fields.Field[Any]]:
    """What a submission may say beside type and payload, and a change may change."""
    return {
        "name": text(200, allow_none=True, metadata={"description": "For people; not unique"}),
        "priority": one_of(Priority, metadata={"description": "normal unless given"}),
        "scheduled_at": strict.Moment(allow_none=True, metadata={"description": "Not before this moment"}),
        "max_retries": whole(0, MAX_RETRIES, metadata={"description": "The type's unless given"}),
        "timeout": whole(
            1,
            MAX_TIMEOUT_SECONDS,
            allow_none=True,
            metadata={"description": "Seconds; the type's unless given"},
        ),
        "labels": labels_field(),
        "expires_at": strict.Moment(allow_none=True, metadata={"description": "Cancelled if not started by then"}),
        "callback_url": url_field(allow_none=True, metadata={"description": "Gets a POST when it is finished"}),
    }


def url_field(**options: Any) -> strict.Text:
    """A URL that can be requested."""
    fault = "must be http:// or https:// and a host, without a name and password"
    return matching(HTTP_URL[1:-1], fault, longest=MAX_URL, **options)


class ChosenIdField(strict.Strict, ma.fields.UUID):
    """A UUID that the caller chose; whether it says the right moment is for the submission to check."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> UUID:
        return id_of(value)


def id_of(value: Any) -> UUID:
    """An id that was sent. Raises ValidationError."""
    if not isinstance(value, str):
        raise strict.wrong("a string", value)
    if not strict.UUID_TEXT.fullmatch(value):
        raise ma.ValidationError("must be a UUID of version 7, such as 018f3c5e-7d2a-7000-8000-0123456789ab")
    return msgspec.convert(value, UUID)


def id_field(what: str) -> ChosenIdField:
    """The id that the caller chose for a task or a run."""
    said = (
        f"Chosen by the caller: a UUID of version 7, made in the last 24 hours. The same {what} sent again is answered"
    )
    return ChosenIdField(metadata={"description": f"{said} with the first one; the id of anything else is refused"})


def queue_field() -> strict.Text:
    """The queue that a task goes to."""
    return matching(
        NAME.pattern,
        "is no name of a queue",
        metadata={"description": "One that a task type names; the type's own unless given"},
    )


class SubmissionShape(StrictSchema):
    """Base of the schema of each type's submissions."""

    read_only = READ_ONLY - {"id", "queue"}


@cache
def _shape(name: str, payload: PayloadCheck) -> ma.Schema:
    title = "".join(part.title() for part in name.split("_"))
    kind = validate.Equal(name)
    declared = {
        "type": strict.Text(required=True, validate=kind, metadata={"enum": [name]}),
        "payload": Verbatim(
            payload.json_schema(), required=True, allow_none=True, error_messages={"required": "is missing"}
        ),
        **changeable_fields(),
        **sharing_fields(),
        "unique": unique_field(),
        "id": id_field("submission"),
        "queue": queue_field(),
    }
    return SubmissionShape.from_dict(declared, name=f"{title}Submission")()


def shape_of(task_type: TaskType) -> ma.Schema:
    """The schema of submissions of one type."""
    return _shape(task_type.name, task_type.payload)


BARE = frozenset({"type", "payload"})
BARE_WITH_ID = BARE | {"id"}


def fields_of(data: Any, shape: Callable[[TaskType], ma.Schema] = shape_of) -> dict[str, Any]:
    """The checked fields of a submission, but for its payload, which its type checks as it is accepted.

    Chosen by type, with errors that say more than marshmallow-oneofschema's. Raises ValidationError, UnknownTaskType.
    """
    if not isinstance(data, dict):
        raise strict.wrong("an object", data)
    if "type" not in data:
        raise ma.ValidationError({"type": [f"is missing; known: {', '.join(offered_types())}"]})
    if not isinstance(data["type"], str):
        raise ma.ValidationError({"type": strict.wrong("a string", data["type"]).messages})
    task_type = get_type(data["type"])
    if data.keys() == BARE:
        return data  # what most say; there is no field to look at
    if "id" not in data:
        loaded: dict[str, Any] = shape(task_type).load(data)
        return loaded
    chosen = chosen_of(data, task_type, shape)
    if data.keys() == BARE_WITH_ID:
        return {"type": data["type"], "payload": data["payload"], "chosen": chosen}
    # The id is known to be right, and need not be looked at twice.
    return {**shape(task_type).load({name: data[name] for name in data if name != "id"}), "chosen": chosen}


def chosen_of(data: Mapping[str, Any], task_type: TaskType, shape: Callable[[TaskType], ma.Schema]) -> ChosenId:
    """The id that a submission was sent with, and what was said with it; of what is told of a request, nothing.

    Raises ValidationError for all that is wrong with the submission.
    """
    try:
        id_ = id_of(data["id"])
    except ma.ValidationError:
        shape(task_type).load(data)
        raise
    said = data if UNSAID.isdisjoint(data) else {name: data[name] for name in data if name not in UNSAID}
    return chosen_ids.chosen(id_, said, secrets=digest_secrets(task_type.name) if task_type.sensitive else ())


class SubmitTask(OneOfSchema):
    """A submission: its `type` says which payload it takes."""

    @property
    def type_schemas(self) -> dict[str, ma.Schema]:  # type: ignore[override]  # which is only read
        """The schemas by task type, as OpenAPI shows them."""
        return {each.name: shape_of(each) for each in load_types().values() if not each.internal}

    def _load(self, data: Any, **_: Any) -> Submission:
        return Submission(**fields_of(data))


class ChangeTask(StrictSchema):
    """A change of a waiting task; what is left out stays, null takes back, labels are replaced as a whole."""

    read_only = READ_ONLY | {"type"}

    payload = strict.Json(metadata={"description": "As its type takes it; see /task-types"})
    name, priority, scheduled_at, max_retries, timeout, labels, expires_at, callback_url = changeable_fields().values()


class ErrorView(ma.Schema):
    """Why an attempt failed."""

    type = ma.fields.String(required=True)
    message = ma.fields.String(required=True)


def _shown(description: str, **options: Any) -> dict[str, Any]:
    return {"required": True, "metadata": {"description": description, **options.pop("schema", {})}, **options}


class TaskView(FastView):
    """A task."""

    def shown(self, record: TaskRecord) -> TaskRecord:
        """As the caller may see it."""
        return presentable(record)

    id = ma.fields.UUID(**_shown("UUIDv7: ids sort by creation"))
    type = ma.fields.String(**_shown("Its task type"))
    name = ma.fields.String(**_shown("For people; not unique", allow_none=True))
    status = ma.fields.String(**_shown("Where it stands", schema={"enum": [status.value for status in Status]}))
    reason = ma.fields.String(**_shown("Why, where that is not obvious", allow_none=True))
    payload = ShownPayload({}, **_shown("What the handler is given; secrets show as [redacted]"))
    result = Verbatim({}, **_shown("What the handler returned; null before"))
    error = ma.fields.Nested(ErrorView, **_shown("The last failure", allow_none=True))
    priority = ma.fields.String(**_shown("How urgent it is", schema={"enum": [word.value for word in Priority]}))
    queue = ma.fields.String(**_shown("Broker queue that carries it"))
    attempt = ma.fields.Integer(**_shown("Number of the latest attempt; 0 before the first"))
    max_retries = ma.fields.Integer(**_shown("Retries after the first attempt"))
    timeout = ma.fields.Integer(attribute="timeout_seconds", **_shown("Seconds; null: the type's", allow_none=True))
    owner = ma.fields.UUID(attribute="owner_id", **_shown("Account it belongs to; null: the service", allow_none=True))
    progress = Verbatim({"type": ["object", "null"]}, **_shown("What the handler last reported"))
    labels = Verbatim({"type": "object", "additionalProperties": {"type": "string"}}, **_shown("Strings by name"))
    concurrency_key = ma.fields.String(**_shown("What it uses that limits are set for", allow_none=True))
    ordering_key = ma.fields.String(**_shown("Its owner's tasks with this key run in order", allow_none=True))
    after_failure = ma.fields.String(
        **_shown(
            "What its failure does to those behind it", allow_none=True, schema={"enum": ["block", "release", None]}
        )
    )
    created_at = Instant(**_shown("When it was accepted"))
    scheduled_at = Instant(**_shown("Not before this moment", allow_none=True))
    expires_at = Instant(**_shown("Cancelled if not started by then", allow_none=True))
    started_at = Instant(**_shown("When the latest attempt started", allow_none=True))
    finished_at = Instant(**_shown("When it was COMPLETED, FAILED or CANCELLED", allow_none=True))
    updated_at = Instant(**_shown("Last change; the ETag follows it"))
    due_at = Instant(**_shown("When the service looks at it again; null once finished", allow_none=True))
    callback_url = ma.fields.Function(
        lambda task: mask_url(task.callback_url),
        metadata={"type": ["string", "null"], "description": "Told when it is finished; secrets show as [redacted]"},
        required=True,
    )
    cancel_requested_at = Instant(**_shown("When a running task was asked to stop", allow_none=True))
    cancel_receipt = ma.fields.String(
        **_shown(
            "What a cancellation found",
            allow_none=True,
            schema={"enum": [*(word.value for word in Receipt), None]},
        )
    )
    waits_for = Verbatim(
        {"type": ["object", "null"]},
        **_shown("While it is WAITING: the `step` that waits, and its `signal`, its `children`, or `until` when"),
    )
    parent_id = ma.fields.UUID(**_shown("The task whose handler submitted it; null: from outside", allow_none=True))
    links = ma.fields.Function(
        lambda task: links_of(task),
        metadata={
            "type": "object",
            "properties": {**{name: {"type": "string"} for name in LINKS}, "parent": {"type": ["string", "null"]}},
            "description": "Paths of what belongs to it",
        },
        required=True,
    )


def links_of(task: TaskRecord) -> dict[str, str | None]:
    """Paths of what belongs to a task, and of the one it belongs to."""
    path = task_path(task)
    links: dict[str, str | None] = {name: path + below for name, below in LINKS.items()}
    links["parent"] = None if task.parent_id is None else path_of(task.parent_id)
    return links


def task_path(task: TaskRecord) -> str:
    """Where a task is read."""
    return path_of(task.id)


def path_of(task_id: UUID) -> str:
    """Where the task of this id is read."""
    return f"/api/v1/tasks/{task_id}"


class TaskList(ma.Schema):
    """A page of tasks, newest first."""

    items = ma.fields.List(ma.fields.Nested(TaskView), required=True)
    next = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Give it as `cursor`; null: the end"}
    )


class EventView(ma.Schema):
    """One change of a task's status."""

    status = ma.fields.String(required=True)
    previous_status = ma.fields.String(required=True, allow_none=True)
    attempt = ma.fields.Integer(required=True)
    worker = ma.fields.String(required=True, allow_none=True)
    at = Instant(required=True)


class EventList(ma.Schema):
    """A page of a task's history, oldest first."""

    items = ma.fields.List(ma.fields.Nested(EventView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class Wait(StrictSchema):
    """Query parameters of reading one task."""

    wait = ma.fields.Float(
        load_default=0,
        validate=validate.Range(0, MAX_WAIT_SECONDS, error="must be from {min} to {max} seconds"),
        error_messages={"invalid": "must be a number of seconds", "special": "must be a number of seconds"},
        metadata={"description": "Answer when the task has finished, or after so many seconds"},
    )


class TaskFilter(PageQuery):
    """Query parameters of the list of tasks; a task is listed when all that are given hold."""

    status = Several(one_of(Status), metadata={"description": "Any of these; repeat it, or separate with commas"})
    type = Several(
        type_name(),
        metadata={"description": "Any of these types"},
    )
    label = Few(
        matching(rf"{LABEL_KEY}:[^\u0000]*", "must be key:value, such as team:billing"),
        metadata={"description": "key:value; repeat it for several that must all hold"},
        validate=validate.Length(max=MAX_LABELS, error="must be at most {max}"),
    )
    created_after = QueryMoment(metadata={"description": "Accepted then or later"})
    created_before = QueryMoment(metadata={"description": "Accepted earlier"})
    q = text(200, metadata={"description": "Part of the name, the type or the error message; case does not matter"})
