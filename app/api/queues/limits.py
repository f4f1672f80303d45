"""/limits: how many at once, how fast, and whose share; and what tasks under limits do now."""

from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.errors import NotFound
from app.services import admission
from app.services.accounts import audit
from app.services.admission import Limit, Rate
from app.web.access import Access, access, current_actor, current_principal
from app.web.blueprint import Blueprint
from app.web.fields import Instant, text, whole
from app.web.requests.parsing import StrictSchema
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict

blueprint = Blueprint("fairness", __name__, url_prefix="/api/v1", description="Limits, and how they are used")

MOST = 1_000_000
PLACE = [
    {"name": "kind", "in": "path", "required": True, "schema": {"type": "string", "enum": list(admission.KINDS)}},
    {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
]


class RateSchema(StrictSchema):
    """A number of starts in a number of seconds."""

    count = whole(1, MOST, required=True, metadata={"description": "So many starts"})
    seconds = whole(1, 86_400, load_default=1, metadata={"description": "in so many seconds; 1 unless given"})
    burst = whole(
        *(1, MOST),
        allow_none=True,
        metadata={
            "description": "So many may start at once after a quiet time; a tenth of a second's worth unless given"
        },
    )

    @ma.post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Rate:
        return Rate(**data)


class SetLimit(StrictSchema):
    """A limit; what is left out or null does not limit."""

    max_running = whole(0, MOST, allow_none=True, metadata={"description": "At most so many at once, over all workers"})
    rate = ma.fields.Nested(RateSchema(), allow_none=True, metadata={"description": "How many may start, how fast"})
    max_hints = whole(
        *(1, MOST),
        allow_none=True,
        metadata={
            "description": "At most so many of each owner and type on their way to workers, the rest waits its turn"
        },
    )
    weight = whole(
        1, 1000, allow_none=True, metadata={"description": "An owner's share where owners compete; 1 unless given"}
    )
    shared = strict.Flag(
        metadata={
            "description": "Of a key: whether its places are for all accounts together; unless given, each account has "
            "places of its own"
        }
    )
    reason = text(500, allow_none=True, metadata={"description": "Why, for whoever asks"})


class RateView(ma.Schema):
    """A number of starts in a number of seconds."""

    count = ma.fields.Integer(required=True)
    seconds = ma.fields.Float(required=True)
    burst = ma.fields.Integer(required=True, allow_none=True)


class LimitView(ma.Schema):
    """A limit in force."""

    kind = ma.fields.String(required=True, metadata={"enum": list(admission.KINDS)})
    name = ma.fields.String(required=True, metadata={"description": "A key may end in *: each key it stands for"})
    max_running = ma.fields.Integer(required=True, allow_none=True)
    rate = ma.fields.Nested(RateView, required=True, allow_none=True)
    max_hints = ma.fields.Integer(required=True, allow_none=True)
    weight = ma.fields.Integer(required=True, allow_none=True)
    shared = ma.fields.Boolean(
        required=True,
        metadata={"description": "Of a key: its places are for all accounts together; false: each has its own"},
    )
    reason = ma.fields.String(required=True, allow_none=True)
    changed_at = Instant(required=True)
    changed_by = ma.fields.String(required=True, allow_none=True)


class LimitList(ma.Schema):
    """All limits."""

    items = ma.fields.List(ma.fields.Nested(LimitView), required=True)


class UsageView(ma.Schema):
    """What an owner's tasks of a type do that are under a limit or have an ordering key."""

    owner = ma.fields.UUID(
        attribute="owner_id", required=True, metadata={"description": "All zeros: the service itself"}
    )
    type = ma.fields.String(required=True)
    held = ma.fields.Integer(required=True, metadata={"description": "Due, and waiting to be admitted"})
    queued = ma.fields.Integer(required=True, metadata={"description": "Behind another with the same ordering key"})
    out = ma.fields.Integer(required=True, metadata={"description": "Admitted, on their way to a worker"})
    running = ma.fields.Integer(required=True)


class UsageList(ma.Schema):
    """Usage by owner and type."""

    items = ma.fields.List(ma.fields.Nested(UsageView), required=True)


@blueprint.get("/limits")
@blueprint.response(200, LimitList())
@access(Access.ADMIN)
def list_limits() -> dict[str, Any]:
    """List the limits in force."""
    with transaction(autocommit=True) as session:
        return {"items": admission.read(session)}


@blueprint.put("/limits/<kind>/<path:name>", parameters=PLACE)
@blueprint.arguments(SetLimit())
@blueprint.response(200, LimitView())
@access(Access.ADMIN)
def set_limit(wanted: dict[str, Any], kind: str, name: str) -> Limit:
    """Set a limit, in place of the one that was there; it holds within seconds for what was submitted before, too."""
    _check(kind, name)
    with transaction() as session:
        actor = current_actor()
        limit = Limit(kind=kind, name=name, changed_at=utcnow(), changed_by=str(actor.user_id), **wanted)
        admission.set_limit(session, limit)
        audit.record(session, "limit.set", actor, now=utcnow(), subject=f"limit:{kind}:{name}", **_said(wanted))
    return limit


@blueprint.delete("/limits/<kind>/<path:name>", parameters=PLACE)
@blueprint.response(204, description="Removed; what it held back is admitted")
@access(Access.ADMIN)
def remove_limit(kind: str, name: str) -> None:
    """Remove a limit."""
    _check(kind, name)
    with transaction() as session:
        admission.remove(session, kind, name)
        audit.record(session, "limit.removed", current_actor(), now=utcnow(), subject=f"limit:{kind}:{name}")


@blueprint.get("/limits/usage")
@blueprint.response(200, UsageList())
def list_usage() -> dict[str, Any]:
    """Show what tasks under limits do now, by owner and type: your own; an admin sees everybody's."""
    with transaction(autocommit=True) as session:
        return {"items": list(admission.usage(session, owner=current_principal().sees))}


def _check(kind: str, name: str) -> None:
    if kind not in admission.KINDS:
        raise NotFound(f"There is no kind of limit called {kind!r}; there are: {', '.join(admission.KINDS)}.")
    if "\x00" in name:  # PostgreSQL could not compare it with anything
        raise NotFound("There is no such limit: NUL characters are in no name.")


def _said(wanted: dict[str, Any]) -> dict[str, Any]:
    rate = wanted.get("rate")
    plain = {name: value for name, value in wanted.items() if value is not None and name != "rate"}
    return plain | ({"rate": f"{rate.count} in {rate.seconds:g} s"} if rate else {})
