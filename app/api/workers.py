"""/workers: who runs tasks, and what waits although nobody would run it."""

from typing import Any

import marshmallow as ma

from app.api.fields import Instant, Verbatim
from app.api.parsing import Blueprint
from app.api.transaction import transaction
from app.clock import utcnow
from app.services import levels, workers

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1", description="Who runs tasks")


class WorkerView(ma.Schema):
    """One life of a worker."""

    id = ma.fields.String(required=True, metadata={"description": "New at every start"})
    node = ma.fields.String(required=True, metadata={"description": "Its name in Celery and Flower"})
    host = ma.fields.String(required=True)
    pid = ma.fields.Integer(required=True)
    state = ma.fields.String(required=True, metadata={"enum": [workers.ALIVE, workers.STOPPED, workers.LOST]})
    concurrency = ma.fields.Integer(required=True, metadata={"description": "Handlers it runs at once"})
    running = ma.fields.Integer(required=True, metadata={"description": "Tasks that it holds a lease of"})
    queues = ma.fields.List(ma.fields.String(), required=True)
    types = Verbatim(
        {"type": "object"}, required=True, metadata={"description": "With the hash of each payload schema"}
    )
    other_schemas = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Types whose payload schema differs from the API's: it runs another release"},
    )
    version = ma.fields.String(required=True)
    runtime = Verbatim({"type": "object"}, required=True, metadata={"description": "Pool, prefetch and versions"})
    started_at = Instant(required=True)
    last_seen_at = Instant(required=True)
    stopped_at = Instant(required=True, allow_none=True)


class OrphanView(ma.Schema):
    """A type of which tasks wait in a queue, and which no live worker of that queue knows."""

    type = ma.fields.String(required=True)
    queue = ma.fields.String(required=True)
    waiting = ma.fields.Integer(required=True)
    known_here = ma.fields.Boolean(required=True, metadata={"description": "Whether the API knows it"})


class WorkerList(ma.Schema):
    """Live workers, then the newest of those that are gone."""

    items = ma.fields.List(ma.fields.Nested(WorkerView), required=True)
    live = ma.fields.Integer(required=True)
    slots = ma.fields.Integer(required=True, metadata={"description": "Handlers that the live ones run at once"})
    unknown_types = ma.fields.List(ma.fields.Nested(OrphanView), required=True)


@blueprint.get("/workers")
@blueprint.response(200, WorkerList())
def list_workers() -> dict[str, Any]:
    """List the workers, and the types that wait although no live worker knows them."""
    now = utcnow()
    with transaction() as session:
        found = workers.everyone(session, now=now)
        live = [each for each in found if each.is_alive(now)]
        waiting = workers.orphans(levels.read(session, now=now), live)
    return {
        "items": [_shown(each, each.state(now)) for each in found],
        "live": len(live),
        "slots": sum(each.concurrency for each in live),
        "unknown_types": waiting,
    }


def _shown(worker: workers.WorkerSeen, state: str) -> dict[str, Any]:
    fields = {name: getattr(worker, name) for name in worker.__slots__}
    return {**fields, "state": state, "other_schemas": worker.other_schemas()}
