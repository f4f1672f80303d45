"""/tasks/{id}/why, and the same of schedules and runs: why something does not run, with evidence and what to do."""

from dataclasses import replace

import marshmallow as ma

from app.api.schedules import SCHEDULE, find_id
from app.api.tasks.routes import TASK_ID, parse_id
from app.api.workflows.runs import RUN_ID, parse_run_id
from app.clock import utcnow
from app.services import explain
from app.services.explain import CAUSES, RUN_CAUSES, SCHEDULE_CAUSES, Answer
from app.web.access import current_principal, visible_owner
from app.web.blueprint import Blueprint
from app.web.fields import Instant, Verbatim
from app.web.transactions import transaction

blueprint = Blueprint("why", __name__, url_prefix="/api/v1", description="Why a task does not run")


class WhyView(ma.Schema):
    """One cause."""

    task_id = ma.fields.UUID(required=True)
    status = ma.fields.String(required=True)
    cause = ma.fields.String(required=True, metadata={"enum": list(CAUSES)})
    summary = ma.fields.String(required=True, metadata={"description": "The cause in a sentence"})
    evidence = Verbatim(
        {"type": "object"},
        required=True,
        metadata={"description": "What it was concluded from; `also` names other causes that hold as well"},
    )
    next_at = Instant(
        required=True, allow_none=True, metadata={"description": "When something changes by itself, as far as known"}
    )
    fix = ma.fields.String(required=True, metadata={"description": "What to do"})


class WhyScheduleView(ma.Schema):
    """One cause."""

    cause = ma.fields.String(required=True, metadata={"enum": list(SCHEDULE_CAUSES)})
    summary = ma.fields.String(required=True)
    evidence = Verbatim({"type": "object"}, required=True)
    next_at = Instant(required=True, allow_none=True)
    fix = ma.fields.String(required=True)


class WhyRunView(WhyScheduleView):
    """One cause."""

    cause = ma.fields.String(required=True, metadata={"enum": list(RUN_CAUSES)})


@blueprint.get("/tasks/<task_id>/why", parameters=TASK_ID)
@blueprint.response(200, WhyView())
def why(task_id: str) -> Answer:
    """Tell why a task is not running: one cause, its evidence, and what to do about it."""
    id_ = parse_id(task_id)
    with transaction(autocommit=True) as session:
        return _without_hosts(explain.why(session, id_, owner=visible_owner(), now=utcnow()))


def _without_hosts(answer: Answer) -> Answer:
    """How many workers live, in place of their names and versions, for all but admins."""
    workers = answer.evidence.get("live_workers")
    if current_principal().is_admin or not isinstance(workers, dict):
        return answer
    return replace(answer, evidence={**answer.evidence, "live_workers": len(workers)})


@blueprint.get("/schedules/<schedule_id>/why", parameters=SCHEDULE)
@blueprint.response(200, WhyScheduleView())
def why_schedule(schedule_id: str) -> Answer:
    """Tell why a schedule does not fire now."""
    with transaction(autocommit=True) as session:
        return explain.why_schedule(session, find_id(session, schedule_id), owner=visible_owner(), now=utcnow())


@blueprint.get("/runs/<run_id>/why", parameters=RUN_ID)
@blueprint.response(200, WhyRunView())
def why_run(run_id: str) -> Answer:
    """Tell why a run has not ended: which steps wait, and for which others."""
    id_ = parse_run_id(run_id)
    with transaction() as session:
        return explain.why_run(session, id_, owner=visible_owner(), now=utcnow())
