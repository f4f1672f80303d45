"""/work: what remote workers ask for and tell."""

from typing import Any
from uuid import UUID

from app.api.work.schemas import (
    AskForRetry,
    ClaimWork,
    Complete,
    Fail,
    Heartbeat,
    Heartbeats,
    HeartbeatStates,
    HeartbeatView,
    LeaveWork,
    Outcomes,
    OutcomeStates,
    OutcomeView,
    Release,
    WorkItems,
    with_texts,
)
from app.services.remote.working import Beat, Ending
from app.web import work
from app.web.access import Access, access
from app.web.blueprint import Blueprint

blueprint = Blueprint("work", __name__, url_prefix="/api/v1", description="Working off remote types, in any language")

TASK_ID = [{"name": "task_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]
LOST = "The lease is not held any more: `lease_lost`; nothing was changed, and what was done counts for nothing"
NOT_THERE = "There is no such task of a type that the key may work on"


@blueprint.post("/work/claim")
@blueprint.arguments(ClaimWork())
@blueprint.response(200, WorkItems())
@blueprint.problem(403, "The key may not work on one of the types: `type_not_allowed`")
@blueprint.problem(422, "One of the types is no remote type")
@access(Access.WORK)
def claim_work(asked: dict[str, Any]) -> dict[str, Any]:
    """Claim tasks: they run in this worker from now on, until it tells how they ended or their lease runs out.

    The most urgent come first, then the oldest. With `wait` the answer comes with the first task.
    """
    return work.claim(asked)


@blueprint.post("/work/<task_id>/heartbeat", parameters=TASK_ID)
@blueprint.arguments(Heartbeat())
@blueprint.response(200, HeartbeatView())
@blueprint.problem(404, NOT_THERE)
@blueprint.problem(409, LOST)
@access(Access.WORK)
def beat_for_task(told: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Say that an attempt goes on: its lease is renewed, and what it tells is kept."""
    return work.beat_one(Beat(task_id=work.task_id_of(task_id), **with_texts(told)))


@blueprint.post("/work/heartbeats")
@blueprint.arguments(Heartbeats())
@blueprint.response(200, HeartbeatStates())
@access(Access.WORK)
def beat_for_tasks(told: dict[str, list[Beat]]) -> dict[str, Any]:
    """Say the same of several attempts: each is answered by itself."""
    return {"items": work.beat(told["items"])}


@blueprint.post("/work/<task_id>/complete", parameters=TASK_ID)
@blueprint.arguments(Complete())
@blueprint.response(200, OutcomeView())
@blueprint.problem(404, NOT_THERE)
@blueprint.problem(409, LOST)
@access(Access.WORK)
def complete_work(told: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Record the result of an attempt."""
    return work.end_one(_ending(task_id, "complete", told))


@blueprint.post("/work/<task_id>/fail", parameters=TASK_ID)
@blueprint.arguments(Fail())
@blueprint.response(200, OutcomeView())
@blueprint.problem(404, NOT_THERE)
@blueprint.problem(409, LOST)
@access(Access.WORK)
def fail_work(told: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Record why an attempt failed: the retries of the task and its type decide whether another one follows."""
    return work.end_one(_ending(task_id, "fail", told))


@blueprint.post("/work/<task_id>/retry", parameters=TASK_ID)
@blueprint.arguments(AskForRetry())
@blueprint.response(200, OutcomeView())
@blueprint.problem(404, NOT_THERE)
@blueprint.problem(409, LOST)
@access(Access.WORK)
def retry_work(told: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Ask for another attempt, of a worker that decides about retries by itself: the task's own retries stay.

    Those are for attempts whose worker was lost. A new payload that its type does not take ends the task as FAILED.
    """
    return work.end_one(_ending(task_id, "retry", told))


@blueprint.post("/work/<task_id>/release", parameters=TASK_ID)
@blueprint.arguments(Release())
@blueprint.response(200, OutcomeView())
@blueprint.problem(404, NOT_THERE)
@blueprint.problem(409, LOST)
@access(Access.WORK)
def release_work(told: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Give a task back that was not finished: another worker may take it at once, and the attempt is not counted."""
    return work.end_one(_ending(task_id, "release", told))


@blueprint.post("/work/outcomes")
@blueprint.arguments(Outcomes())
@blueprint.response(200, OutcomeStates())
@access(Access.WORK)
def record_outcomes(told: dict[str, list[Ending]]) -> dict[str, Any]:
    """Record how several attempts ended: each is answered by itself."""
    return {"items": work.end(told["items"])}


@blueprint.post("/work/leave")
@blueprint.arguments(LeaveWork())
@blueprint.response(204)
@access(Access.WORK)
def leave_work(told: dict[str, str]) -> None:
    """Say that a worker has ended: lists of workers show it as stopped, not as lost."""
    work.leave(told["worker"])


def _ending(task_id: str, outcome: str, told: dict[str, Any]) -> Ending:
    id_: UUID = work.task_id_of(task_id)
    return Ending(task_id=id_, outcome=outcome, **with_texts(told))
