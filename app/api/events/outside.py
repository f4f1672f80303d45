"""/events: what happened elsewhere, and what the caller's triggers made of it."""

from typing import Any
from uuid import UUID

from app.clock import utcnow
from app.models import OutsideEventRecord
from app.models.page import Page
from app.services import triggers
from app.services.triggers import EventView, NewEvent
from app.web import quotas
from app.web.access import current_owner_id, visible_owner
from app.web.blueprint import Blueprint, Created
from app.web.requests.idempotency import key_of
from app.web.schemas.triggers import (
    OutsideEventDetails,
    OutsideEventFilter,
    OutsideEventList,
    OutsideEventView,
    SendEvent,
    event_path,
)
from app.web.transactions import transaction

blueprint = Blueprint("outside_events", __name__, url_prefix="/api/v1", description="What happened elsewhere")

EXAMPLES = {
    "paid": {
        "summary": "An order was paid",
        "value": {"name": "order.paid", "data": {"order_id": "A-17", "total": 120, "customer_id": "c-42"}},
    }
}


@blueprint.post("/events")
@blueprint.arguments(SendEvent(), examples=EXAMPLES)
@blueprint.creates(OutsideEventView(), "event")
@blueprint.problem(422, "No name, or data that cannot be stored or are too large")
@blueprint.problem(429, "As many tasks of the account wait as may: applying the triggers is one of them")
def send_event(wanted: NewEvent, headers: dict[str, Any]) -> Created[OutsideEventRecord]:
    """Tell of something that happened; a task then applies the triggers that listen for its name, each once.

    The same Idempotency-Key with the same body is the same event.
    """
    quotas.check_size(wanted.data)
    key = key_of(headers, "events", wanted)
    with transaction() as session:
        event, is_new = triggers.receive_once(
            session, wanted, key=key, owner_id=current_owner_id(), now=utcnow(), make_room=quotas.room_in(session)
        )
    return Created(record=event, path=event_path(event.id), is_new=is_new)


@blueprint.get("/events")
@blueprint.pages(OutsideEventList(), "outside_events", query=OutsideEventFilter())
def list_outside_events(wanted: dict[str, Any]) -> Page[OutsideEventRecord]:
    """List what happened elsewhere, newest first."""
    with transaction(autocommit=True) as session:
        return triggers.find_events(
            session, visible_to=visible_owner(), name=wanted["name"], before=wanted["before"], limit=wanted["limit"]
        )


@blueprint.get("/events/<uuid:event_id>")
@blueprint.response(200, OutsideEventDetails())
def read_event(event_id: UUID) -> EventView:
    """Read an event: what it started, and which triggers did not match and why."""
    with transaction(autocommit=True) as session:
        return triggers.view_event(session, triggers.read_event(session, event_id, visible_to=visible_owner()))
