"""/sinks: how far each consumer of the events has come."""

from dataclasses import replace
from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.services.events import sinks
from app.web.access import current_principal
from app.web.blueprint import Blueprint
from app.web.fields import Instant
from app.web.transactions import transaction

blueprint = Blueprint("sinks", __name__, url_prefix="/api/v1", description="Consumers of the events")

FAILED = "it failed; an admin sees why"


class SinkView(ma.Schema):
    """One sink."""

    name = ma.fields.String(required=True)
    running = ma.fields.Boolean(required=True, metadata={"description": "Seen within the last 10 seconds"})
    position = ma.fields.Integer(required=True, metadata={"description": "Number of the last event it has taken"})
    newest_position = ma.fields.Integer(required=True, metadata={"description": "Number of the newest event"})
    lag_events = ma.fields.Integer(
        required=True,
        metadata={"description": "How many it has not taken yet; below zero: it stands beyond the newest, see `alarm`"},
    )
    lag_seconds = ma.fields.Float(required=True, metadata={"description": "How long ago the oldest of these happened"})
    last_seen_at = Instant(required=True, allow_none=True)
    moved_at = Instant(required=True, allow_none=True, metadata={"description": "When it last took events"})
    node = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Host and process id; null to all but admins"}
    )
    last_error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "To all but admins only that there was one"}
    )
    alarm = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What was last wrong with its position, or with what the broker told it"},
    )
    alarm_at = Instant(required=True, allow_none=True, metadata={"description": "When that was last seen"})


class SinkList(ma.Schema):
    """All sinks that ever ran."""

    items = ma.fields.List(ma.fields.Nested(SinkView), required=True)
    next = ma.fields.String(required=True, allow_none=True, metadata={"description": "Always null"})


@blueprint.get("/sinks")
@blueprint.response(200, SinkList())
def list_sinks() -> dict[str, Any]:
    """See how far each sink has come, and how far behind it is."""
    with transaction(autocommit=True) as session:
        found = sinks.statuses(session, now=utcnow())
    if not current_principal().is_admin:
        found = [replace(each, node=None, last_error=each.last_error and FAILED) for each in found]
    return {"items": found, "next": None}
