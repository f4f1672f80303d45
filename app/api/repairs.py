"""/repairs: dead letters that are replayed together: patched, at a rate, a canary first, stopped when they fail."""

from typing import Any
from uuid import UUID

from flask import Response, jsonify

from app.clock import utcnow
from app.errors import Refused
from app.models import RepairItemRecord, RepairRecord
from app.models.page import Page
from app.services import repairs
from app.web import repairs as repair_requests
from app.web.access import visible_owner
from app.web.blueprint import LOCATION, Blueprint
from app.web.repairs import DEFAULT_CANARY, DEFAULT_PER_SECOND, DEFAULT_RATIO
from app.web.schemas.repairs import (
    DryRunView,
    RepairItemList,
    RepairItemQuery,
    RepairList,
    RepairQuery,
    RepairView,
    StartRepair,
)
from app.web.transactions import transaction

blueprint = Blueprint("repairs", __name__, url_prefix="/api/v1", description="Dead letters, replayed together")

EXAMPLES = {
    "dry_run": {
        "summary": "What would it do?",
        "value": {
            "filter": {"type": "reverse_string", "failed_after": "2026-11-01T00:00:00Z"},
            "patch": [{"op": "replace", "path": "", "value": "hello"}],
            "canary": 20,
            "per_second": 100,
            "stop_above_failure_ratio": 0.1,
            "dry_run": True,
        },
    },
    "start": {"summary": "Do it", "value": {"token": "the token of the dry run"}},
}
PACE = {"canary": DEFAULT_CANARY, "per_second": DEFAULT_PER_SECOND, "stop_above_failure_ratio": DEFAULT_RATIO}


@blueprint.post("/repairs")
@blueprint.arguments(StartRepair(), examples=EXAMPLES)
@blueprint.response(201, RepairView(), headers=LOCATION)
@blueprint.alt_response(200, schema=DryRunView(), description="A dry run: what it would do")
@blueprint.problem(403, "The account, or its API key, may not use the task type: `type_not_allowed`")
@blueprint.problem(409, "Another repair of the type is not over: `repair_under_way`, with its path")
@blueprint.problem(422, "A patch that touches anything but the payload, no token, one that was used, too many tasks")
def start_repair(asked: dict[str, Any]) -> Any:
    """Replay dead letters of a type together, patched and at a rate; first with dry_run, then with its token."""
    token = asked.pop("token", None)
    asked.pop("action", None)
    if asked.pop("dry_run"):
        return _dry_run(asked)
    repair = repair_requests.start(token, asked, visible_to=visible_owner())
    return {"repair": repair, "rate": 0.0}, 201, {"Location": repairs.path_of(repair.id)}


def _dry_run(asked: dict[str, Any]) -> Response:
    if "filter" not in asked:
        raise Refused({"filter": ['is missing: say which dead letters, such as {"type": "send_email"}']})
    filter_, patch = asked.pop("filter"), asked.pop("patch", None)
    plan, checked = repair_requests.plan_of(filter_, patch, **{**PACE, **asked})
    with transaction() as session:
        found = repair_requests.dry_run(session, plan, checked, visible_to=visible_owner())
    told = {
        "count": found.preview.count,
        "checked": found.preview.checked,
        "refused_count": found.preview.refused,
        "refused": found.preview.refused_tasks,
        "sample": repair_requests.shown_examples(found),
        "token": found.token,
    }
    return jsonify(DryRunView().dump(told))


@blueprint.get("/repairs")
@blueprint.pages(RepairList(), "repairs", query=RepairQuery())
def list_repairs(query: dict[str, Any]) -> Page[Any]:
    """List repairs, newest first."""
    with transaction() as session:
        found, after = repairs.find(
            session,
            visible_to=visible_owner(),
            statuses=query.get("status", ()),
            before=query["before"],
            limit=query["limit"],
        )
        return Page(repair_requests.views_of(session, found, now=utcnow()), after)


@blueprint.get("/repairs/<uuid:repair_id>")
@blueprint.response(200, RepairView())
def read_repair(repair_id: UUID) -> dict[str, Any]:
    """Read a repair: where it stands, and what became of its tasks."""
    with transaction() as session:
        repair = repairs.read(session, repair_id, visible_to=visible_owner())
        return repair_requests.view_of(session, repair, now=utcnow())


@blueprint.get("/repairs/<uuid:repair_id>/items")
@blueprint.pages(RepairItemList(), "repair-items", query=RepairItemQuery())
def list_repair_items(query: dict[str, Any], repair_id: UUID) -> Page[RepairItemRecord]:
    """List the tasks of a repair, in the order in which they are replayed."""
    with transaction() as session:
        repair = repairs.read(session, repair_id, visible_to=visible_owner())
        outcomes, after, limit = query.get("outcome", ()), query["before"], query["limit"]
        return repairs.items(session, repair, outcomes=outcomes, after=after, limit=limit)


@blueprint.post("/repairs/<uuid:repair_id>/pause")
@blueprint.response(200, RepairView())
@blueprint.problem(409, "It is over")
def pause_repair(repair_id: UUID) -> dict[str, Any]:
    """Replay no more of its tasks until it is resumed."""
    return _steer(repair_id, "pause")


@blueprint.post("/repairs/<uuid:repair_id>/resume")
@blueprint.response(200, RepairView())
@blueprint.problem(403, "The account, or its API key, may not use the task type: `type_not_allowed`")
@blueprint.problem(409, "It is over")
def resume_repair(repair_id: UUID) -> dict[str, Any]:
    """Go on where it was paused."""
    return _steer(repair_id, "resume")


@blueprint.post("/repairs/<uuid:repair_id>/stop")
@blueprint.response(200, RepairView())
@blueprint.problem(409, "It is over")
def stop_repair(repair_id: UUID) -> dict[str, Any]:
    """End it; what it has replayed goes on."""
    return _steer(repair_id, "stop")


@blueprint.post("/repairs/<uuid:repair_id>/undo")
@blueprint.response(200, RepairView())
@blueprint.problem(409, "All of its tasks have started, or another repair has them")
def undo_repair(repair_id: UUID) -> dict[str, Any]:
    """End it, and make those of its tasks dead letters again that have not started, with the payload they had."""
    return _steer(repair_id, "undo")


def _steer(repair_id: UUID, what: str) -> dict[str, Any]:
    repair: RepairRecord = repair_requests.steer(repair_id, what, visible_to=visible_owner())
    with transaction() as session:
        return repair_requests.view_of(session, repair, now=utcnow())
