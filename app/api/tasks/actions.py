"""/tasks/{id}/…: cancel and retry a task, and read its attempts and its log."""

from http import HTTPStatus
from typing import Any

import marshmallow as ma

from app.api.tasks.routes import TASK_ID, parse_id
from app.clock import utcnow
from app.models import TaskRecord
from app.services.submission import MAX_RETRIES
from app.services.tasks import attempts as attempt_service
from app.services.tasks import cancellation, replay, task_log
from app.web import quotas
from app.web.access import current_principal, visible_owner
from app.web.blueprint import Blueprint
from app.web.fields import Instant, Verbatim, whole
from app.web.requests.parsing import StrictSchema
from app.web.responses.masking import payload_keys
from app.web.schemas.tasks import ErrorView, TaskView
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict

blueprint = Blueprint("task_actions", __name__, url_prefix="/api/v1", description="What can be done with a task")


class RetryTask(StrictSchema):
    """How a task is started over; all of it may be left out."""

    may_be_left_out = True

    payload = strict.Json(metadata={"description": "Replaces the payload; the old one stays in the history"})
    max_retries = whole(0, MAX_RETRIES, metadata={"description": "Retries from here on; as before unless given"})
    fresh = strict.Flag(
        metadata={
            "description": "A durable task forgets its steps, and does all of it anew; needed with another payload"
        }
    )


class AttemptErrorView(ErrorView):
    """Why an attempt failed; admins see where."""

    traceback = ma.fields.String(metadata={"description": "For admins only"})


class AttemptView(ma.Schema):
    """One run of a task by a worker."""

    number = ma.fields.Integer(required=True)
    worker = ma.fields.String(required=True, allow_none=True)
    started_at = Instant(required=True)
    ended_at = Instant(required=True, allow_none=True, metadata={"description": "null while it runs"})
    outcome = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"enum": [*sorted(set(attempt_service.OUTCOMES.values())), None], "description": "null while it runs"},
    )
    error = ma.fields.Nested(AttemptErrorView, required=True, allow_none=True)


class AttemptList(ma.Schema):
    """A task's attempts, oldest first; the number of one that was given back is used again."""

    items = ma.fields.List(ma.fields.Nested(AttemptView), required=True)


class LogLineView(ma.Schema):
    """A line that a handler wrote."""

    at = Instant(required=True)
    attempt = ma.fields.Integer(required=True)
    message = ma.fields.String(required=True)
    fields_ = Verbatim({"type": "object"}, required=True, data_key="fields", attribute="fields")


class LogLineList(ma.Schema):
    """What a task's handlers wrote, oldest first."""

    items = ma.fields.List(ma.fields.Nested(LogLineView), required=True)


@blueprint.post("/tasks/<task_id>/cancel", parameters=TASK_ID)
@blueprint.response(200, TaskView(), description="It is cancelled")
@blueprint.alt_response(202, schema=TaskView(), description="It runs and was asked to stop; cancel_receipt will tell")
@blueprint.problem(409, "It has ended already")
def cancel_task(task_id: str) -> tuple[TaskRecord, int]:
    """Cancel a task: at once if it waits; a running one is asked to stop, and killed after its grace period."""
    id_ = parse_id(task_id)
    with transaction() as session:
        found = cancellation.cancel(session, id_, owner=visible_owner(), by=None, now=utcnow())
    return found.task, HTTPStatus.ACCEPTED if found.is_stopping else HTTPStatus.OK


@blueprint.post("/tasks/<task_id>/retry", parameters=TASK_ID)
@blueprint.arguments(RetryTask(), required=False)
@blueprint.response(200, TaskView(), description="It starts over, with fresh retries; attempts count on")
@blueprint.problem(403, "The account, or its API key, may not use its task type: `type_not_allowed`")
@blueprint.problem(409, "It is neither FAILED nor CANCELLED")
@blueprint.problem(422, "Its type refuses the new payload")
def retry_task(fields: dict[str, Any], task_id: str) -> TaskRecord:
    """Start a dead letter or a cancelled task over."""
    id_ = parse_id(task_id)
    edited = replay.Edited(payload=fields["payload"]) if "payload" in fields else None
    quotas.check_size(fields.get("payload"))
    with transaction() as session:
        return replay.replay(
            session,
            id_,
            owner=visible_owner(),
            now=utcnow(),
            edited=edited,
            max_retries=fields.get("max_retries"),
            fresh=fields.get("fresh", False),
            payload_keys=payload_keys(),
            allowance=quotas.allowance_in(session),
        )


@blueprint.get("/tasks/<task_id>/attempts", parameters=TASK_ID)
@blueprint.response(200, AttemptList())
def list_attempts(task_id: str) -> dict[str, Any]:
    """Read the attempts of a task."""
    id_ = parse_id(task_id)
    with transaction() as session:
        attempts = attempt_service.of_task(session, id_, owner=visible_owner())
    is_admin = current_principal().is_admin
    return {"items": attempts if is_admin else [each.without_traceback() for each in attempts]}


@blueprint.get("/tasks/<task_id>/logs", parameters=TASK_ID)
@blueprint.response(200, LogLineList())
def list_logs(task_id: str) -> dict[str, Any]:
    """Read what the task's handlers wrote."""
    id_ = parse_id(task_id)
    with transaction() as session:
        return {"items": task_log.of_task(session, id_, owner=visible_owner())}
