"""What signals, and the steps of durable tasks, look like in requests and answers."""

import marshmallow as ma

from app.services.signals import MAX_BYTES, MAX_NAME, NAME
from app.web.fields import Instant, Verbatim
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import ErrorView

NAME_IN_PATH = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "What the wait is called",
    "schema": {"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": MAX_NAME},
}


class SendSignal(StrictSchema):
    """What is told; may be left out."""

    may_be_left_out = True

    data = Verbatim(
        {},
        load_default=None,
        metadata={
            "description": f"What the wait returns: any JSON of at most {MAX_BYTES // 1024} KB; null if left out"
        },
    )


class SignalView(ma.Schema):
    """One signal."""

    id = ma.fields.Integer(required=True, metadata={"description": "Order in which they came"})
    name = ma.fields.String(required=True)
    data = Verbatim({}, required=True, metadata={"description": "What was told; secrets of sensitive types are hidden"})
    sent_by = ma.fields.UUID(
        required=True, allow_none=True, metadata={"description": "The account that sent it; null: the service itself"}
    )
    at = Instant(required=True, metadata={"description": "When it was sent"})
    taken_by = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The step that took it; null: it lies"}
    )
    taken_at = Instant(required=True, allow_none=True, metadata={"description": "When that was recorded"})


class SignalList(ma.Schema):
    """A page of signals, newest first."""

    items = ma.fields.List(ma.fields.Nested(SignalView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class TaskStepView(ma.Schema):
    """Something that a handler has done, or waits for, under a name of its own."""

    name = ma.fields.String(required=True, metadata={"description": "What its handler calls it"})
    kind = ma.fields.String(
        required=True, metadata={"description": "once, sleep, signal, call, gather, run or checkpoint"}
    )
    state = ma.fields.String(required=True, metadata={"enum": ["BEGUN", "DONE", "FAILED", "UNDONE"]})
    result = Verbatim({}, required=True, metadata={"description": "What came of it, and is never asked for again"})
    error = ma.fields.Nested(ErrorView, required=True, allow_none=True, metadata={"description": "What it failed with"})
    child_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "The task that does it"})
    child_status = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Where that task stands; null: it is gone"}
    )
    is_undoable = ma.fields.Boolean(required=True, metadata={"description": "Whether it said how it is undone"})
    released_at = Instant(required=True, allow_none=True, metadata={"description": "When that task was let start"})
    wakes_at = Instant(
        required=True, allow_none=True, metadata={"description": "When its wait ends, whatever has come; null: never"}
    )
    ended_at = Instant(required=True, allow_none=True, metadata={"description": "When it ended"})


class TaskStepList(ma.Schema):
    """A page of what a task remembers, in the order of its handler."""

    items = ma.fields.List(ma.fields.Nested(TaskStepView), required=True)
    next = ma.fields.String(required=True, allow_none=True)
