"""/deploy-check: what a new release of task types would break, asked before it is deployed."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.clock import utcnow
from app.errors import Refused
from app.services import releases
from app.services.accounts import audit
from app.services.releases import BadSchema, Kind, NewRelease, NewType, Problem, Report
from app.web.access import Access, access, current_actor
from app.web.blueprint import Blueprint
from app.web.fields import Instant, Verbatim, matching
from app.web.requests.parsing import StrictSchema
from app.web.responses.masking import payload_keys
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.upgrades import SCHEMA_HASH

blueprint = Blueprint(
    "deploy check", __name__, url_prefix="/api/v1", description="What a new release would break, before it is deployed"
)
MAX_TYPES, MAX_UPGRADES, MAX_ONLY = 2_000, 100, 100
EXAMPLE = {
    "types": {
        "acme.resize": {
            "schema": {"type": "object", "properties": {"size": {"enum": ["s", "m"]}}, "required": ["size"]},
            "upgrade": ["0f3a9c1d2b4e"],
        }
    },
    "only": ["acme.*"],
}


class NewTypeBody(StrictSchema):
    """A task type of the new release."""

    schema = Verbatim(
        {"type": ["object", "boolean"]},
        required=True,
        metadata={"description": "JSON Schema (2020-12) of its payload, without references to elsewhere"},
    )
    upgrade = ma.fields.List(
        matching(SCHEMA_HASH.pattern, "is no schema hash: 12 hex digits"),
        load_default=list,
        validate=validate.Length(max=MAX_UPGRADES, error=f"must name {MAX_UPGRADES} schemas at most"),
        metadata={"description": "Hashes of the earlier schemas whose payloads it upgrades"},
    )


class DeployCheckBody(StrictSchema):
    """The new release."""

    types = ma.fields.Dict(
        keys=strict.Text(validate=validate.Length(1, 255, error="must have 1 to 255 characters")),
        values=ma.fields.Nested(NewTypeBody),
        required=True,
        validate=validate.Length(max=MAX_TYPES, error=f"must be {MAX_TYPES} types at most"),
        metadata={"description": "Its task types by name", "example": EXAMPLE["types"]},
    )
    names = ma.fields.List(  # a Schema has an `only` of its own
        strict.Text(validate=validate.Length(1, 255, error="must have 1 to 255 characters")),
        load_default=list,
        data_key="only",
        validate=validate.Length(max=MAX_ONLY, error=f"must be {MAX_ONLY} names at most"),
        metadata={
            "description": "Names of the types that it speaks for; a star at the end stands for any ending. Unless "
            "given: all types, and the service's own where `types` names one of them",
            "example": EXAMPLE["only"],
        },
    )


class ReleaseSampleView(ma.Schema):
    """One of those that were found."""

    id = ma.fields.String(required=True)
    name = ma.fields.String(required=True, allow_none=True, metadata={"description": "Of a schedule or a workflow"})
    path = ma.fields.String(required=True, allow_none=True, metadata={"description": "Where its first fault is"})
    message = ma.fields.String(required=True, allow_none=True, metadata={"description": "What is wrong; no value"})


class ReleasePathView(ma.Schema):
    """A place of payloads that the new schema refuses."""

    path = ma.fields.String(required=True)
    message = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)


class ReleaseFindingView(ma.Schema):
    """Work that the new release would refuse, or has no type for."""

    kind = ma.fields.String(required=True, metadata={"enum": [each.value for each in Kind]})
    problem = ma.fields.String(
        required=True,
        metadata={
            "enum": [each.value for each in Problem],
            "description": "refused: by the new schema; gone: there is no such type any more",
        },
    )
    type = ma.fields.String(required=True)
    schema_hash = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The schema under which the payloads were accepted; null: not known, or several"},
    )
    count = ma.fields.Integer(required=True)
    is_estimate = ma.fields.Boolean(required=True, metadata={"description": "Whether it was told from a sample"})
    paths = ma.fields.List(ma.fields.Nested(ReleasePathView), required=True, metadata={"description": "At most 20"})
    samples = ma.fields.List(ma.fields.Nested(ReleaseSampleView), required=True, metadata={"description": "At most 5"})


class ReleaseSampledView(ma.Schema):
    """A type of which not all was looked at."""

    kind = ma.fields.String(required=True)
    type = ma.fields.String(required=True)
    checked = ma.fields.Integer(required=True)
    of = ma.fields.Integer(required=True)


class ReleaseUpgradedView(ma.Schema):
    """Tasks that the new release says it upgrades."""

    type = ma.fields.String(required=True)
    schema_hash = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)


class ReleaseReportView(ma.Schema):
    """What the release would break; `findings` is empty when it may come."""

    at = Instant(required=True)
    clean = ma.fields.Boolean(required=True)
    findings = ma.fields.List(
        ma.fields.Nested(ReleaseFindingView), required=True, metadata={"description": "The largest first; at most 500"}
    )
    left_out = ma.fields.Integer(required=True, metadata={"description": "Findings beyond those"})
    checked = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": "How many of each kind were looked at"},
    )
    unchanged = ma.fields.Integer(
        required=True, metadata={"description": "Unfinished tasks that were accepted under the very same schema"}
    )
    unreadable = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": "By type: encrypted payloads that no key of the service opens"},
    )
    sampled = ma.fields.List(ma.fields.Nested(ReleaseSampledView), required=True)
    upgraded = ma.fields.List(
        ma.fields.Nested(ReleaseUpgradedView),
        required=True,
        metadata={"description": "Tasks that it upgrades, by its own words: nobody has tried it"},
    )


@blueprint.post("/deploy-check")
@blueprint.arguments(DeployCheckBody(), example=EXAMPLE)
@blueprint.response(200, ReleaseReportView())
@blueprint.problem(409, "Another check is under way")
@blueprint.problem(422, "A schema that is none")
@access(Access.ADMIN)
def check_release(body: dict[str, Any]) -> Report:
    """Tell what a new release would break: all stored work, from tasks to triggers, that its schemas refuse or miss.

    Nothing is changed. Of a type with more than 100,000 payloads to look at, a sample is read, and the answer says so.
    """
    release = NewRelease(types=_types_of(body["types"]), only=tuple(body["names"]))
    now = utcnow()
    with transaction() as session:
        report = releases.check(session, release, payload_keys=payload_keys(), now=now)
        audit.record(
            session,
            "release.checked",
            current_actor(),
            now=now,
            types=len(release.types),
            findings=len(report.findings) + report.left_out,
        )
    return report


def _types_of(given: dict[str, dict[str, Any]]) -> dict[str, NewType]:
    types: dict[str, NewType] = {}
    refused: dict[str, Any] = {}
    for name, each in given.items():
        try:
            types[name] = releases.new_type(each["schema"], upgrade=each["upgrade"])
        except BadSchema as error:
            refused[name] = {"schema": [str(error)]}
    if refused:
        raise Refused({"types": refused})
    return types
