"""/queues: what waits where; pausing and resuming queues and task types."""

from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.services.accounts import audit
from app.services.dispatch import queues
from app.services.measuring import queue_report
from app.web.access import Access, access, current_actor
from app.web.blueprint import Blueprint
from app.web.fields import Instant, text
from app.web.requests.parsing import StrictSchema
from app.web.transactions import transaction

blueprint = Blueprint("queues", __name__, url_prefix="/api/v1", description="Queues, and what is paused")

QUEUE = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]


class PauseReason(StrictSchema):
    """Why; may be left out."""

    may_be_left_out = True

    reason = text(500, metadata={"description": "Shown to whoever asks why a task does not run"})


class PauseView(ma.Schema):
    """A queue or task type that is paused."""

    kind = ma.fields.String(required=True, metadata={"enum": ["queue", "type"]})
    name = ma.fields.String(required=True)
    paused_at = Instant(required=True)
    paused_by = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)


class QueueView(ma.Schema):
    """A queue as the ledger sees it."""

    name = ma.fields.String(required=True)
    waiting = ma.fields.Integer(
        required=True, attribute="figures.waiting", metadata={"description": "Tasks that are PENDING"}
    )
    running = ma.fields.Integer(
        required=True, attribute="figures.running", metadata={"description": "Tasks that are PROCESSING"}
    )
    suspended = ma.fields.Integer(
        required=True,
        attribute="figures.suspended",
        metadata={"description": "Tasks that are WAITING: they need no worker; counted once a minute"},
    )
    oldest_seconds = ma.fields.Float(
        required=True,
        allow_none=True,
        attribute="figures.oldest_seconds",
        metadata={"description": "How long the first of those that wait has waited"},
    )
    pending = ma.fields.Integer(
        dump_only=True,
        required=True,
        attribute="figures.waiting",
        metadata={"deprecated": True, "description": "Now `waiting`"},
    )
    oldest_pending_seconds = ma.fields.Float(
        dump_only=True,
        required=True,
        allow_none=True,
        attribute="figures.oldest_seconds",
        metadata={"deprecated": True, "description": "Now `oldest_seconds`"},
    )
    workers = ma.fields.Integer(required=True, metadata={"description": "Live workers that serve it"})
    paused = ma.fields.Nested(PauseView, required=True, allow_none=True)


class QueueList(ma.Schema):
    """All queues, and what is paused."""

    items = ma.fields.List(ma.fields.Nested(QueueView), required=True)
    paused_types = ma.fields.List(ma.fields.Nested(PauseView), required=True)


class Resumed(ma.Schema):
    """Whether there was a pause to lift."""

    resumed = ma.fields.Boolean(required=True)


@blueprint.get("/queues")
@blueprint.response(200, QueueList())
def list_queues() -> dict[str, Any]:
    """List the queues: what waits and runs, how long, who serves them, what is paused."""
    with transaction() as session:
        paused = queues.pauses(session)
        return {
            "items": queue_report.read(session, now=utcnow())[1],
            "paused_types": [each for each in paused if each.kind == "type"],
        }


@blueprint.post("/queues/<name>/pause", parameters=QUEUE)
@blueprint.arguments(PauseReason(), required=False)
@blueprint.response(200, PauseView())
@access(Access.ADMIN)
def pause_queue(asked: dict[str, Any], name: str) -> queues.Paused:
    """Pause a queue: workers stop to take from it within 3 seconds, what runs goes on, submissions are accepted."""
    return _pause("queue", name, asked)


@blueprint.post("/queues/<name>/resume", parameters=QUEUE)
@blueprint.response(200, Resumed())
@access(Access.ADMIN)
def resume_queue(name: str) -> dict[str, bool]:
    """Resume a queue."""
    return _resume("queue", name)


@blueprint.post("/task-types/<name>/pause", parameters=QUEUE)
@blueprint.arguments(PauseReason(), required=False)
@blueprint.response(200, PauseView())
@access(Access.ADMIN)
def pause_type(asked: dict[str, Any], name: str) -> queues.Paused:
    """Pause a task type: no task of it is started, what runs goes on, submissions are accepted."""
    return _pause("type", name, asked)


@blueprint.post("/task-types/<name>/resume", parameters=QUEUE)
@blueprint.response(200, Resumed())
@access(Access.ADMIN)
def resume_type(name: str) -> dict[str, bool]:
    """Resume a task type."""
    return _resume("type", name)


def _pause(kind: queues.Kind, name: str, asked: dict[str, Any]) -> queues.Paused:
    with transaction() as session:
        actor = current_actor()
        paused = queues.pause(session, kind, name, by=str(actor.user_id), reason=asked.get("reason"), now=utcnow())
        audit.record(session, f"{kind}.paused", actor, now=utcnow(), subject=f"{kind}:{name}", **asked)
    return paused


def _resume(kind: queues.Kind, name: str) -> dict[str, bool]:
    with transaction() as session:
        is_resumed = queues.resume(session, kind, name, now=utcnow())
        audit.record(session, f"{kind}.resumed", current_actor(), now=utcnow(), subject=f"{kind}:{name}")
    return {"resumed": is_resumed}
