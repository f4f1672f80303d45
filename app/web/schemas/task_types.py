"""A task type in answers: of the code, and declared over HTTP."""

from typing import Any

import marshmallow as ma

from app.web.fields import Verbatim
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType


class RetryView(ma.Schema):
    """When a failed attempt is tried again: base * factor^(n-1), at most the cap, less a random part."""

    max_retries = ma.fields.Integer(required=True)
    base_seconds = ma.fields.Float(required=True)
    factor = ma.fields.Float(required=True)
    cap_seconds = ma.fields.Float(required=True)


class LimitsView(ma.Schema):
    """How long an attempt may take, in seconds."""

    timeout_seconds = ma.fields.Integer(required=True, metadata={"description": "Soft limit unless the task sets one"})
    longest_timeout_seconds = ma.fields.Integer(required=True, metadata={"description": "The most a task may set"})
    grace_seconds = ma.fields.Integer(required=True, metadata={"description": "From the soft limit to the hard one"})


def _declared(description: str) -> dict[str, Any]:
    return {"required": True, "allow_none": True, "metadata": {"description": f"{description}; null: none"}}


class TaskTypeView(ma.Schema):
    """A task type."""

    name = ma.fields.String(required=True)
    summary = ma.fields.String(required=True)
    description = ma.fields.String(required=True)
    payload = Verbatim({"type": "object"}, required=True, metadata={"description": "JSON Schema of its payload"})
    schema_hash = ma.fields.String(required=True, metadata={"description": "Changes when the schema does"})
    examples = Verbatim(
        {"type": "array", "items": {}}, required=True, metadata={"description": "Payloads that work as they stand"}
    )
    limits = ma.fields.Nested(LimitsView, required=True)
    retry = ma.fields.Nested(RetryView, required=True)
    queue = ma.fields.String(required=True, metadata={"description": "Broker queue of its tasks"})
    ordering_key = ma.fields.String(
        **_declared("Its tasks take it from their payload, unless they say another: a path, or a text with {paths}")
    )
    after_failure = ma.fields.String(**_declared("What a failure does to those behind it, unless the task says so"))
    concurrency_key = ma.fields.String(**_declared("Taken as the ordering key is"))
    default_labels = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "Labels of its tasks, unless they say others: texts and paths"},
    )
    search = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Fields of the payload that become labels, to find tasks by: ?label=field:value"},
    )
    rate = ma.fields.String(**_declared("So many may start in a period; an admin may have set another limit"))
    concurrency = ma.fields.Integer(**_declared("So many may run at once; an admin may have set another limit"))
    compensable = ma.fields.Boolean(
        required=True, metadata={"description": "Whether a completed task can be undone: POST /tasks/{id}/compensate"}
    )
    reaches_outside = ma.fields.Boolean(
        required=True,
        metadata={"description": "Whether it sends to addresses that its payload names; not every account may use it"},
    )
    chunk = ma.fields.Integer(required=True, metadata={"description": "Up to so many tasks travel in one hint"})
    remote = ma.fields.Boolean(
        required=True, metadata={"description": "Declared over HTTP: its tasks are worked off over HTTP, too"}
    )


def shown(task_type: TaskType) -> dict[str, Any]:
    """A task type as TaskTypeView takes it."""
    return {
        "name": task_type.name,
        "summary": task_type.summary,
        "description": task_type.description,
        "payload": task_type.payload.json_schema(),
        "schema_hash": task_type.schema_hash,
        "examples": list(task_type.examples),
        "limits": {
            "timeout_seconds": task_type.timeout_seconds,
            "longest_timeout_seconds": MAX_TIMEOUT_SECONDS,
            "grace_seconds": task_type.grace_seconds,
        },
        "retry": task_type.retry,
        "queue": task_type.queue,
        "ordering_key": task_type.ordering_key,
        "after_failure": task_type.after_failure,
        "concurrency_key": task_type.concurrency_key,
        "default_labels": dict(task_type.labels),
        "search": list(task_type.search),
        "rate": task_type.rate,
        "concurrency": task_type.concurrency,
        "compensable": task_type.compensable,
        "reaches_outside": task_type.reaches_outside,
        "chunk": task_type.chunk,
        "remote": task_type.remote,
    }
