"""/task-types: declaring types whose tasks are worked off over HTTP, by programs in any language."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.clock import utcnow
from app.services.accounts import audit
from app.services.remote import declaring
from app.services.remote.known import TYPES
from app.services.remote.types import Declaration
from app.services.submission import MAX_RETRIES
from app.web.access import Access, access, current_actor
from app.web.blueprint import Blueprint
from app.web.fields import Few, Verbatim, matching, text, whole
from app.web.requests.parsing import StrictSchema
from app.web.schemas.rights import no_repeats
from app.web.schemas.task_types import TaskTypeView, shown
from app.web.transactions import transaction
from taskledger_sdk.defaults import AFTER_FAILURE, MAX_KEY, MAX_LABELS
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.registry import MAX_GRACE_SECONDS, MAX_TIMEOUT_SECONDS, TYPE_NAME

blueprint = Blueprint("remote_types", __name__, url_prefix="/api/v1", description="Task types without code here")

NAME_IN_PATH = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
MAX_EXAMPLES = 10
MAX_BACKOFF_SECONDS = 24 * 3600


def _seconds(description: str) -> strict.Real:
    check = validate.Range(0, MAX_BACKOFF_SECONDS, error="must be from {min} to {max}")
    return strict.Real(validate=check, metadata={"description": description})


class RetrySchema(StrictSchema):
    """When a failed attempt is tried again: base * factor^(n-1), at most the cap, less a random part."""

    max_retries = whole(0, MAX_RETRIES, metadata={"description": "3 unless given"})
    base_seconds = _seconds("2 unless given")
    factor = strict.Real(
        validate=validate.Range(1, 100, error="must be from {min} to {max}"), metadata={"description": "2 unless given"}
    )
    cap_seconds = _seconds("600 unless given")
    jitter = strict.Real(
        validate=validate.Range(0, 1, error="must be from {min} to {max}"),
        metadata={"description": "The share of each pause that is drawn at random; 1 unless given"},
    )


class ChangeRemoteType(StrictSchema):
    """What is said of a remote type; what is left out is what task types have by themselves."""

    schema = Verbatim(
        {"type": "object"},
        required=True,
        metadata={
            "description": "JSON Schema (2020-12) of the payload; `$ref` leads to places of this schema only, and "
            "patterns have neither look-around nor back-references",
            "examples": [{"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}],
        },
    )
    summary = text(200, load_default="", metadata={"description": "What it does, in a line"})
    description = text(10_000, load_default="")
    examples = Few(
        strict.Json(),
        load_default=list,
        validate=validate.Length(max=MAX_EXAMPLES, error="must be at most {max}"),
        metadata={"description": "Payloads that the schema takes"},
    )
    timeout = whole(
        1, MAX_TIMEOUT_SECONDS, load_default=300, metadata={"description": "Seconds that an attempt may take"}
    )
    grace_seconds = whole(
        1,
        MAX_GRACE_SECONDS,
        load_default=10,
        metadata={"description": "So long after its limit, or after a cancel, an attempt loses its lease"},
    )
    lease_seconds = whole(
        5,
        3600,
        load_default=None,
        allow_none=True,
        metadata={"description": "How long a silent worker keeps a task; LEASE_SECONDS unless given"},
    )
    retry = ma.fields.Nested(RetrySchema(), load_default=dict)
    ordering_key = text(
        MAX_KEY,
        load_default=None,
        allow_none=True,
        metadata={"description": "Its tasks take it from their payload: payload.customer_id, or a text with {paths}"},
    )
    after_failure = strict.Choice(
        [(each, each) for each in AFTER_FAILURE],
        load_default=None,
        allow_none=True,
        metadata={"type": "string", "enum": [*AFTER_FAILURE, None]},
    )
    concurrency_key = text(MAX_KEY, load_default=None, allow_none=True, metadata={"description": "As the ordering key"})
    rate = text(
        50,
        load_default=None,
        allow_none=True,
        metadata={"description": "How many may start in which time", "examples": ["100/min"]},
    )
    concurrency = whole(
        1, 1_000_000, load_default=None, allow_none=True, metadata={"description": "At most so many run at once"}
    )
    labels = strict.Json(
        load_default=dict,
        validate=lambda value: _check_labels(value),
        metadata={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Labels of its tasks: texts with {paths} of the payload, by name",
        },
    )
    search = Few(
        text(MAX_KEY),
        load_default=list,
        validate=[validate.Length(max=MAX_LABELS, error="must be at most {max}"), no_repeats],
        metadata={"description": "Fields of the payload that become labels of that name"},
    )
    reaches_outside = strict.Flag(
        load_default=False,
        metadata={"description": "Whether its worker sends to addresses of the payload; not every account may use it"},
    )


class DeclareRemoteType(ChangeRemoteType):
    """A remote type."""

    name = matching(
        TYPE_NAME.pattern,
        "is no name of a task type: give up to 200 of A-Z, a-z, 0-9, _ and -, with . or : between parts",
        required=True,
        metadata={"examples": ["resize"]},
    )


def _check_labels(value: Any) -> None:
    is_fit = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    if not is_fit or len(value) > MAX_LABELS:
        raise ma.ValidationError(f"must be an object of at most {MAX_LABELS} texts")


@blueprint.post("/task-types")
@blueprint.arguments(DeclareRemoteType())
@blueprint.response(201, TaskTypeView(), description="It can be submitted, and claimed: POST /work/claim")
@blueprint.problem(409, "There is a task type of this name: `name_taken`")
@blueprint.problem(422, "A schema, or something else, that cannot be used")
@access(Access.ADMIN)
def declare_task_type(asked: dict[str, Any]) -> dict[str, Any]:
    """Declare a remote type; a retired one of this name is there again."""
    declaration = _declaration(asked)
    with transaction() as session:
        made = declaring.declare(session, declaration, now=utcnow())
        _record(session, "declared", declaration)
    TYPES.forget()
    return shown(made)


@blueprint.put("/task-types/<name>", parameters=NAME_IN_PATH)
@blueprint.arguments(ChangeRemoteType())
@blueprint.response(200, TaskTypeView(), description="Everywhere within 2 seconds; tasks that wait are checked anew")
@blueprint.problem(404, "No remote type of this name")
@blueprint.problem(422, "A schema, or something else, that cannot be used")
@access(Access.ADMIN)
def change_task_type(asked: dict[str, Any], name: str) -> dict[str, Any]:
    """Replace all that is said of a remote type.

    Tasks that wait fail for good, when they are claimed, if the new schema does not take their payload.
    """
    declaration = _declaration({**asked, "name": name})
    with transaction() as session:
        made = declaring.change(session, declaration, now=utcnow())
        _record(session, "changed", declaration)
    TYPES.forget()
    return shown(made)


@blueprint.delete("/task-types/<name>", parameters=NAME_IN_PATH)
@blueprint.response(204, description="Nothing of it is accepted any more; what waits can still be worked off")
@blueprint.problem(404, "No remote type of this name")
@access(Access.ADMIN)
def retire_task_type(name: str) -> None:
    """Retire a remote type."""
    with transaction() as session:
        declaring.retire(session, name, now=utcnow())
        audit.record(session, "task_type.retired", current_actor(), now=utcnow(), subject=f"type:{name}")
    TYPES.forget()


def _declaration(asked: dict[str, Any]) -> Declaration:
    lists = {name: tuple(asked[name]) for name in ("examples", "search")}
    return Declaration(**{**asked, **lists})


def _record(session: Any, what: str, declaration: Declaration) -> None:
    audit.record(
        session,
        f"task_type.{what}",
        current_actor(),
        now=utcnow(),
        subject=f"type:{declaration.name}",
        timeout=declaration.timeout,
    )
