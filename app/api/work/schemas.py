"""What remote workers send, and what they get."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.database import to_json
from app.services.remote.claiming import MAX_ITEMS
from app.services.remote.working import Beat, Ending
from app.web.fields import Few, Verbatim, matching, text, type_name, whole
from app.web.requests.parsing import StrictSchema
from app.web.schemas.rights import no_repeats
from taskledger_sdk.errors import MAX_PAUSE_SECONDS
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.results import CHECKPOINT_BYTES

MAX_TYPES = 500
MAX_WAIT_SECONDS = 30
MAX_LINES = 100
WORKER_NAME = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}"
OUTCOMES = ("complete", "fail", "retry", "release")


def lease_field() -> strict.Identifier:
    """The lease of an attempt."""
    return strict.Identifier(required=True, metadata={"description": "As the claim gave it"})


def _worker_name() -> strict.Text:
    return matching(
        WORKER_NAME,
        "must have 1 to 100 of A-Z, a-z, 0-9 and . _ : -",
        required=True,
        metadata={
            "description": "A name of this process, unique within its account: claims by one name are one worker's",
            "examples": ["resizer-7f3a"],
        },
    )


class ClaimWork(StrictSchema):
    """A claim of tasks."""

    types = Few(
        type_name(),
        required=True,
        validate=[validate.Length(1, MAX_TYPES, error="must be {min} to {max}"), no_repeats],
        metadata={"description": "Task types that the worker can run", "examples": [["resize"]]},
    )
    max = whole(1, MAX_ITEMS, load_default=1, metadata={"description": "At most so many tasks"})
    wait = whole(
        0,
        MAX_WAIT_SECONDS,
        load_default=0,
        metadata={"description": "So many seconds the answer may wait for a first task", "examples": [20]},
    )
    worker = _worker_name()
    claim = strict.Identifier(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "An id of this claim: sent again, because the answer was lost, it gets the same tasks while "
            "they are held"
        },
    )
    concurrency = whole(1, 10_000, load_default=1, metadata={"description": "Tasks that the worker runs at once"})
    host = text(200, load_default="", metadata={"description": "The host it runs on, for people"})
    pid = whole(0, 2**31 - 1, load_default=0, metadata={"description": "Its process id there, for people"})
    version = text(100, load_default="", metadata={"description": "What it is and its version, for people"})


class WorkItem(ma.Schema):
    """A task to be run. Durations count from the answer on."""

    task_id = ma.fields.UUID(required=True)
    type = ma.fields.String(required=True)
    payload = Verbatim({}, required=True, metadata={"description": "As the schema of its type says"})
    attempt = ma.fields.Integer(required=True, metadata={"description": "Number of this attempt, from 1 on"})
    max_retries = ma.fields.Integer(required=True, metadata={"description": "Retries that the task has in all"})
    lease = ma.fields.UUID(
        required=True, metadata={"description": "The right to end this attempt; sent with everything told of it"}
    )
    lease_seconds = ma.fields.Integer(
        required=True, metadata={"description": "So long it holds without a heartbeat; send one each third of it"}
    )
    timeout_seconds = ma.fields.Float(
        required=True, metadata={"description": "The attempt is to end by itself within this"}
    )
    grace_seconds = ma.fields.Integer(
        required=True, metadata={"description": "So long after that, or after a cancel, the lease is taken away"}
    )
    checkpoint = Verbatim(
        {}, required=True, metadata={"description": "What an earlier attempt has kept last; null: nothing"}
    )
    traceparent = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "W3C trace context in which it was submitted"}
    )


class WorkItems(ma.Schema):
    """What a claim got; nothing where nothing waits."""

    items = ma.fields.List(ma.fields.Nested(WorkItem), required=True)
    retry_after = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Too many claims wait here: ask again in so many seconds; null otherwise"},
    )


class LogLine(StrictSchema):
    """A line for the task's log."""

    message = text(2_000, required=True)
    fields_ = strict.Json(
        data_key="fields",
        load_default=dict,
        validate=lambda value: _check_fields(value),
        metadata={"type": "object", "description": "Values by name; at most 20"},
    )

    @ma.post_load
    def _made(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"message": data["message"], "fields": data["fields_"]}


def _check_fields(value: Any) -> None:
    if not isinstance(value, dict) or len(value) > 20:
        raise ma.ValidationError("must be an object of at most 20 values")


def _check_checkpoint(value: Any) -> None:
    if len(to_json(value).encode()) > CHECKPOINT_BYTES:
        raise ma.ValidationError(f"must have at most {CHECKPOINT_BYTES} bytes as JSON")


def checkpoint_field() -> strict.Json:
    """What the next attempt is to begin with."""
    return strict.Json(
        validate=_check_checkpoint,
        metadata={"description": "At most 64 KiB as JSON; the next attempt of the task gets it with its claim"},
    )


def with_texts(data: dict[str, Any]) -> dict[str, Any]:
    """What was sent, with checkpoint and payload as JSON text: null is a value, and none at all is something else."""
    return {**data, **{name: to_json(data[name]) for name in ("checkpoint", "payload") if name in data}}


class Heartbeat(StrictSchema):
    """What there is to tell of an attempt that goes on."""

    lease = lease_field()
    progress = strict.Real(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 1, error="must be from {min} to {max}"),
        metadata={"description": "How much of it is done, from 0 to 1"},
    )
    message = text(2_000, load_default=None, allow_none=True, metadata={"description": "What it is doing, for people"})
    log = Few(
        ma.fields.Nested(LogLine()),
        load_default=list,
        validate=validate.Length(max=MAX_LINES, error="must be at most {max} lines"),
        metadata={"description": "Lines for the task's log"},
    )
    checkpoint = checkpoint_field()


class _OfTask(StrictSchema):
    task_id = strict.Identifier(required=True)


class HeartbeatOfTask(_OfTask, Heartbeat):
    """A heartbeat among others."""

    @ma.post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Beat:
        return Beat(**with_texts(data))


class Heartbeats(StrictSchema):
    """Heartbeats of several attempts."""

    items = Few(
        ma.fields.Nested(HeartbeatOfTask()),
        required=True,
        validate=validate.Length(1, MAX_ITEMS, error="must be {min} to {max}"),
    )


class HeartbeatView(ma.Schema):
    """How long the lease holds from now on, and whether the task is to stop."""

    lease_seconds = ma.fields.Integer(required=True)
    cancel_requested = ma.fields.Boolean(
        required=True, metadata={"description": "Stop, and fail or release it: it is CANCELLED then"}
    )


class ItemState(ma.Schema):
    """What became of one of several items; `status` is that of HTTP, as if it had been sent alone."""

    task_id = ma.fields.UUID(required=True)
    status = ma.fields.Integer(required=True, metadata={"enum": [200, 404, 409]})
    code = ma.fields.String(required=True, allow_none=True, metadata={"enum": ["not_found", "lease_lost", None]})


class HeartbeatState(ItemState):
    """The same of a heartbeat; the other fields are null where it came to nothing."""

    lease_seconds = ma.fields.Integer(required=True, allow_none=True)
    cancel_requested = ma.fields.Boolean(required=True, allow_none=True)


class HeartbeatStates(ma.Schema):
    """One answer for each heartbeat, in their order."""

    items = ma.fields.List(ma.fields.Nested(HeartbeatState), required=True)


def new_payload_field() -> strict.Json:
    """What the next attempt is given."""
    return strict.Json(
        metadata={
            "description": "What the next attempt is given in place of the payload, which stays in the history; "
            "the schema of the type must take it"
        }
    )


def reason_field() -> strict.Text:
    """Why a task has completed."""
    return text(
        200,
        load_default=None,
        allow_none=True,
        metadata={"description": "Why, for people, where it is not obvious", "examples": ["ignored"]},
    )


class Complete(StrictSchema):
    """The result of an attempt."""

    lease = lease_field()
    result = strict.Json(load_default=None, metadata={"description": "Any JSON, at most 1 MiB"})
    reason = reason_field()


class Fail(StrictSchema):
    """Why an attempt failed."""

    lease = lease_field()
    type = text(200, load_default="Error", metadata={"description": "What kind of error", "examples": ["IOError"]})
    message = text(20_000, load_default="", metadata={"description": "What went wrong, for people"})
    traceback = text(100_000, load_default=None, allow_none=True, metadata={"description": "Where; for admins only"})
    permanent = strict.Flag(load_default=False, metadata={"description": "Trying again cannot help: it is FAILED"})
    retry_in = strict.Real(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, MAX_PAUSE_SECONDS, error="must be from {min} to {max}"),
        metadata={"description": "Try again in so many seconds, in place of the type's own pause"},
    )

    checkpoint = checkpoint_field()

    @ma.validates_schema
    def _says_one(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("permanent") and data.get("retry_in") is not None:
            raise ma.ValidationError({"retry_in": ["goes with an error that is not permanent"]})


class AskForRetry(StrictSchema):
    """The worker itself decides about retries, and wants another attempt."""

    lease = lease_field()
    type = text(200, load_default="Error", metadata={"description": "What kind of error", "examples": ["IOError"]})
    message = text(20_000, load_default="", metadata={"description": "What went wrong, for people"})
    traceback = text(100_000, load_default=None, allow_none=True, metadata={"description": "Where; for admins only"})
    retry_in = strict.Real(
        load_default=0.0,
        validate=validate.Range(0, MAX_PAUSE_SECONDS, error="must be from {min} to {max}"),
        metadata={"description": "In so many seconds"},
    )
    payload = new_payload_field()
    checkpoint = checkpoint_field()


class Release(StrictSchema):
    """The attempt is given back, and not counted."""

    lease = lease_field()
    checkpoint = checkpoint_field()


class OutcomeOfTask(_OfTask, Fail):
    """How an attempt ended; the fields are those of the outcome when it is sent alone."""

    outcome = strict.Choice(
        [(each, each) for each in OUTCOMES], required=True, metadata={"type": "string", "enum": list(OUTCOMES)}
    )
    result = strict.Json(load_default=None, metadata={"description": "Of complete: any JSON, at most 1 MiB"})
    reason = reason_field()
    payload = new_payload_field()

    @ma.post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Ending:
        return Ending(**with_texts(data))


class Outcomes(StrictSchema):
    """How several attempts ended."""

    items = Few(
        ma.fields.Nested(OutcomeOfTask()),
        required=True,
        validate=validate.Length(1, MAX_ITEMS, error="must be {min} to {max}"),
    )


RECORDED = ("completed", "retrying", "failed", "stopped", "given_back")


class OutcomeView(ma.Schema):
    """What was recorded."""

    task_id = ma.fields.UUID(required=True)
    outcome = ma.fields.String(
        required=True,
        metadata={
            "enum": list(RECORDED),
            "description": "retrying: another attempt follows; failed: none does; stopped: it was asked to stop before",
        },
    )


class OutcomeState(ItemState):
    """The same of one of several; `outcome` is null where nothing was recorded."""

    outcome = ma.fields.String(required=True, allow_none=True, metadata={"enum": [*RECORDED, None]})


class OutcomeStates(ma.Schema):
    """One answer for each item, in their order."""

    items = ma.fields.List(ma.fields.Nested(OutcomeState), required=True)


class LeaveWork(StrictSchema):
    """A worker that ends."""

    worker = _worker_name()
