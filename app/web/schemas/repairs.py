"""What repairs look like in requests and answers."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import RepairOutcome, RepairStatus
from app.services.repairs import ARROWS, path_of
from app.web.fields import Few, Instant, Several, Verbatim, matching, one_of, text, type_name, whole
from app.web.repairs import DEFAULT_CANARY, DEFAULT_PER_SECOND, DEFAULT_RATIO
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import LABEL_KEY, MAX_LABELS
from taskledger_sdk.payload import fields as strict

FINGERPRINT = r"[0-9a-f]{16}"
MAX_CANARY, MAX_PER_SECOND = 1_000, 1_000
MAX_TOKEN = 100_000
COUNTS = ("remaining", "unended", "well", "failed", "cancelled", "refused", "passed_over", "undone")


class RepairChoice(StrictSchema):
    """Which dead letters; all that are given must hold."""

    type = type_name(required=True, metadata={"description": "Of this type"})
    status = strict.Choice([("FAILED", "FAILED")], metadata={"type": "string", "enum": ["FAILED"]})
    fingerprint = matching(FINGERPRINT, "is no fingerprint", metadata={"description": "With this cause"})
    label = Few(
        matching(rf"{LABEL_KEY}:[^\u0000]*", "must be key:value, such as team:billing"),
        metadata={"description": "key:value; several must all hold"},
        validate=validate.Length(max=MAX_LABELS, error="must be at most {max}"),
    )
    created_after = strict.Moment(metadata={"description": "Accepted then or later"})
    created_before = strict.Moment(metadata={"description": "Accepted earlier"})
    failed_after = strict.Moment(metadata={"description": "Failed then or later"})
    failed_before = strict.Moment(metadata={"description": "Failed earlier; now, unless given"})
    q = text(200, metadata={"description": "Part of the name, the type or the error message; case does not matter"})


class StartRepair(StrictSchema):
    """First with dry_run, which counts and returns a token; then with that token, and nothing else is needed."""

    filter = ma.fields.Nested(RepairChoice)
    action = strict.Choice([("replay", "replay")], metadata={"type": "string", "enum": ["replay"]})
    patch = strict.Json(
        metadata={
            "type": "array",
            "items": {"type": "object"},
            "description": "A JSON Patch (RFC 6902) on each payload; its paths begin inside of the payload",
        }
    )
    canary = whole(
        0, MAX_CANARY, metadata={"description": f"So many first, and no others until they have ended; {DEFAULT_CANARY}"}
    )
    per_second = ma.fields.Float(
        validate=validate.Range(0.1, MAX_PER_SECOND, error="must be from {min} to {max}"),
        error_messages={"invalid": "must be a number", "special": "must be a number"},
        metadata={"description": f"Replayed a second at most; {DEFAULT_PER_SECOND:g} unless given"},
    )
    stop_above_failure_ratio = ma.fields.Float(
        allow_none=True,
        validate=validate.Range(0, 1, error="must be from {min} to {max}"),
        error_messages={"invalid": "must be a number", "special": "must be a number"},
        metadata={"description": f"Stop when more of the first attempts fail; null: never; {DEFAULT_RATIO:g}"},
    )
    dry_run = strict.Flag(load_default=False, metadata={"description": "Count, and try the patch; nothing is changed"})
    token = strict.Text(
        validate=validate.Length(1, MAX_TOKEN, error="is no token"), metadata={"description": "From the dry run"}
    )


class RefusedTaskView(ma.Schema):
    """A task that would not be replayed."""

    task_id = ma.fields.UUID(required=True)
    problem = ma.fields.String(required=True, metadata={"description": "What does not fit, and where"})


class ExampleView(ma.Schema):
    """A payload before and after the patch, without secrets."""

    task_id = ma.fields.UUID(required=True)
    before = Verbatim({}, required=True)
    after = Verbatim({}, required=True)


class DryRunView(ma.Schema):
    """What a repair would do."""

    count = ma.fields.Integer(required=True, metadata={"description": "Dead letters that match"})
    checked = ma.fields.Integer(
        required=True, metadata={"description": "On so many of them, oldest first, the patch was tried"}
    )
    refused_count = ma.fields.Integer(required=True, metadata={"description": "Of the checked, those that do not fit"})
    refused = ma.fields.List(
        ma.fields.Nested(RefusedTaskView), required=True, metadata={"description": "The first of them"}
    )
    sample = ma.fields.List(ma.fields.Nested(ExampleView), required=True)
    token = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Send it within 15 minutes, once, to start the repair; null: nothing matches"},
    )


class CountsView(ma.Schema):
    """Tasks of a repair, by what became of them: of those that ended, how the first attempt after the replay did."""

    remaining = ma.fields.Integer(required=True, metadata={"description": "Not replayed yet"})
    unended = ma.fields.Integer(required=True, metadata={"description": "Replayed, and waiting or running"})
    well = ma.fields.Integer(required=True, metadata={"description": "Ended well"})
    failed = ma.fields.Integer(required=True, metadata={"description": "Raised, or lost its worker"})
    cancelled = ma.fields.Integer(required=True, metadata={"description": "Cancelled or deleted since"})
    refused = ma.fields.Integer(required=True, metadata={"description": "Not replayed: the patch does not fit"})
    passed_over = ma.fields.Integer(
        required=True, metadata={"description": "Not replayed: no such dead letter any more"}
    )
    undone = ma.fields.Integer(required=True, metadata={"description": "Dead letters again"})


def _of(name: str, field: type[ma.fields.Field[Any]] = ma.fields.String, **options: Any) -> Any:
    return field(required=True, attribute=f"repair.{name}", **options)


class RepairView(ma.Schema):
    """A repair."""

    id = _of("id", ma.fields.UUID)
    status = _of("status", metadata={"enum": [word.value for word in RepairStatus]})
    reason = _of("reason", allow_none=True, metadata={"description": "Why it stands there, or what it waits for"})
    type = _of("type")
    filter = Verbatim({"type": "object"}, required=True, attribute="repair.spec.filter")
    patch = Verbatim(
        {"type": ["array", "null"], "items": {"type": "object"}}, required=True, attribute="repair.spec.patch"
    )
    canary = _of("spec.canary", ma.fields.Integer)
    per_second = _of("spec.per_second", ma.fields.Float)
    stop_above_failure_ratio = _of("spec.stop_above_failure_ratio", ma.fields.Float, allow_none=True)
    count = _of("count", ma.fields.Integer, metadata={"description": "Tasks that it has"})
    replayed = _of("replayed", ma.fields.Integer)
    counts = ma.fields.Nested(CountsView, required=True, attribute="repair")
    rate = ma.fields.Float(required=True, metadata={"description": "Replayed a second, in the last ten"})
    failure_ratio = _of("failure_ratio", ma.fields.Float, allow_none=True)
    owner = _of("owner_id", ma.fields.UUID, allow_none=True, metadata={"description": "Who has started it"})
    created_at = _of("created_at", Instant)
    finished_at = _of("finished_at", Instant, allow_none=True)
    links = ma.fields.Function(
        lambda shown: links_of(shown["repair"].id),
        required=True,
        metadata={"type": "object", "description": "Paths of what belongs to it, and of what can be done with it"},
    )


def links_of(repair_id: Any) -> dict[str, str]:
    """Paths of a repair."""
    path = path_of(repair_id)
    return {"self": path, "items": f"{path}/items", **{what: f"{path}/{what}" for what in ARROWS}}


class RepairQuery(PageQuery):
    """Query parameters of the list."""

    status = Several(one_of(RepairStatus), metadata={"description": "Any of these"})


class RepairList(ma.Schema):
    """A page of repairs, newest first."""

    items = ma.fields.List(ma.fields.Nested(RepairView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class RepairItemQuery(PageQuery):
    """Query parameters of the tasks of a repair."""

    outcome = Several(one_of(RepairOutcome), metadata={"description": "Any of these"})


class RepairItemView(ma.Schema):
    """A task of a repair."""

    task_id = ma.fields.UUID(required=True)
    outcome = ma.fields.String(
        required=True, allow_none=True, metadata={"enum": [*(word.value for word in RepairOutcome), None]}
    )
    problem = ma.fields.String(required=True, allow_none=True, metadata={"description": "Why it was not replayed"})
    replayed_at = Instant(required=True, allow_none=True)
    ended_at = Instant(required=True, allow_none=True)


class RepairItemList(ma.Schema):
    """A page of the tasks of a repair, in the order in which they are replayed."""

    items = ma.fields.List(ma.fields.Nested(RepairItemView), required=True)
    next = ma.fields.String(required=True, allow_none=True)
