"""/queues/{name}/purge: cancel what waits in a queue, after a dry run has counted it."""

from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.api.queues.routes import QUEUE
from app.clock import rfc_3339, utcnow
from app.errors import NotFound
from app.models import UNCLAIMED
from app.services.dispatch import queues
from app.services.measuring import levels
from app.services.tasks import purge
from app.services.tasks.purge import PurgeFilter
from app.web.access import Access, access, current_actor
from app.web.blueprint import Blueprint
from app.web.fields import one_of, type_name
from app.web.oversight import counted
from app.web.requests.dry_run import choice_in, token_for
from app.web.requests.parsing import StrictSchema
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict

blueprint = Blueprint("queue purge", __name__, url_prefix="/api/v1", description="Purging queues")


class PurgeChoice(StrictSchema):
    """Which of the tasks that wait; an empty one means all."""

    type = type_name()
    status = one_of(sorted(UNCLAIMED))


class Purge(StrictSchema):
    """First with dry_run, which counts and returns a token; then with that token alone."""

    filter = ma.fields.Nested(PurgeChoice, load_default=dict)
    dry_run = strict.Flag(load_default=False, metadata={"description": "Count only"})
    token = strict.Text(
        validate=validate.Length(1, 2_000, error="is no token"), metadata={"description": "From the dry run"}
    )


class PurgeView(ma.Schema):
    """What would be, or was, cancelled."""

    count = ma.fields.Integer(required=True)
    by_status = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Integer(), required=True, metadata={"description": "Empty once done"}
    )
    token = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Send it within 15 minutes to do it; null once done"}
    )


@blueprint.post("/queues/<name>/purge", parameters=QUEUE)
@blueprint.arguments(Purge())
@blueprint.response(200, PurgeView())
@blueprint.problem(404, "No queue of this name")
@blueprint.problem(422, "No token, or one that is not valid any more")
@access(Access.ADMIN)
def purge_queue(asked: dict[str, Any], name: str) -> dict[str, Any]:
    """Cancel every task that waits in a queue (they can be replayed); first with dry_run."""
    action = f"queue.purge.{name}"
    if asked["dry_run"]:
        return _count(action, name, asked["filter"])
    said = choice_in(action, asked.get("token"))
    wanted = PurgeFilter(
        queue=name,
        created_before=datetime.fromisoformat(said["created_before"]),
        types=said["types"],
        statuses=said["statuses"],
    )
    actor = current_actor()
    with counted("queue.purge_begun", "queue.purged", subject=f"queue:{name}", filter=said) as done:
        while cancelled := _batch(wanted, str(actor.user_id)):
            done.count += cancelled
    return {"count": done.count, "by_status": {}, "token": None}


def _count(action: str, name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    now = utcnow()
    said = {
        "created_before": rfc_3339(now),
        "types": [chosen["type"]] if "type" in chosen else [],
        "statuses": [chosen["status"]] if "status" in chosen else [],
    }
    wanted = PurgeFilter(queue=name, created_before=now, types=said["types"], statuses=said["statuses"])
    with transaction() as session:
        known = queues.known_queues() | {each.queue for each in levels.read(session, now=now).levels}
        if name not in known:
            raise NotFound(f"There is no queue called {name!r}; there are: {', '.join(sorted(known))}.")
        by_status = purge.count(session, wanted)
    return {"count": sum(by_status.values()), "by_status": by_status, "token": token_for(action, said)}


def _batch(wanted: PurgeFilter, by: str) -> int:
    with transaction() as session:
        return purge.purge_batch(session, wanted, by=by, now=utcnow())
