"""/workers: who runs tasks, and what waits although nobody would run it."""

from hashlib import sha256
from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.services.dispatch import workers
from app.services.measuring import levels
from app.web.access import current_principal
from app.web.blueprint import Blueprint
from app.web.fields import Instant, Verbatim
from app.web.transactions import transaction

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1", description="Who runs tasks")

FOR_ADMINS = "null to all but admins"
HIDDEN = dict.fromkeys(("node", "host", "pid", "version", "runtime"))


class WorkerView(ma.Schema):
    """One life of a worker."""

    id = ma.fields.String(required=True, metadata={"description": "New at every start; its digest to all but admins"})
    kind = ma.fields.String(
        required=True,
        metadata={"enum": [workers.CELERY, workers.REMOTE], "description": "remote: it takes its tasks over HTTP"},
    )
    node = ma.fields.String(
        required=True, allow_none=True, metadata={"description": f"Its name in Celery and Flower; {FOR_ADMINS}"}
    )
    host = ma.fields.String(required=True, allow_none=True, metadata={"description": FOR_ADMINS})
    pid = ma.fields.Integer(required=True, allow_none=True, metadata={"description": FOR_ADMINS})
    state = ma.fields.String(required=True, metadata={"enum": [workers.ALIVE, workers.STOPPED, workers.LOST]})
    concurrency = ma.fields.Integer(required=True, metadata={"description": "Handlers it runs at once"})
    free = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Handlers that it could start now; with 0 it takes no task; null: it does not tell"},
    )
    acknowledged_early = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Long tasks in work whose messages were acknowledged already; null: it does not tell"},
    )
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
    version = ma.fields.String(required=True, allow_none=True, metadata={"description": FOR_ADMINS})
    runtime = Verbatim(
        {"type": ["object", "null"]},
        required=True,
        allow_none=True,
        metadata={"description": f"Pool, prefetch and versions; {FOR_ADMINS}"},
    )
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
    concurrency = ma.fields.Integer(required=True, metadata={"description": "Handlers that the live ones run at once"})
    slots = ma.fields.Integer(required=True, metadata={"deprecated": True, "description": "Now `concurrency`"})
    unknown_types = ma.fields.List(ma.fields.Nested(OrphanView), required=True)


@blueprint.get("/workers")
@blueprint.response(200, WorkerList())
def list_workers() -> dict[str, Any]:
    """List the workers, and the types that wait although no live worker knows them.

    On which hosts they run, and with which versions, is told to admins only.
    """
    now = utcnow()
    with transaction() as session:
        found = workers.everyone(session, now=now)
        live = [each for each in found if each.is_alive(now)]
        waiting = workers.orphans(levels.read(session, now=now), live)
    return {
        "items": [_shown(each, each.state(now), is_admin=current_principal().is_admin) for each in found],
        "live": len(live),
        "concurrency": sum(each.concurrency for each in live),
        "slots": sum(each.concurrency for each in live),
        "unknown_types": waiting,
    }


def _shown(worker: workers.WorkerSeen, state: str, *, is_admin: bool) -> dict[str, Any]:
    fields = {name: getattr(worker, name) for name in worker.__slots__}
    told = {"free": worker.free, "acknowledged_early": worker.acknowledged_early}
    if state != workers.ALIVE:
        told = dict.fromkeys(told)
    shown = {**fields, **told, "state": state, "other_schemas": worker.other_schemas()}
    return shown if is_admin else shown | HIDDEN | {"id": sha256(worker.id.encode()).hexdigest()[:16]}
