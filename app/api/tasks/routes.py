"""/tasks: submit, read, list, change and delete tasks, and read their history."""

from typing import Any
from uuid import UUID

from flask import Response, request

from app.clock import utcnow
from app.errors import NotFound
from app.models import EventRecord, TaskRecord
from app.models.page import Page
from app.services.submission import Submission
from app.services.tasks import children
from app.services.tasks import records as task_service
from app.web import quotas
from app.web.access import current_caller, current_rights, visible_owner
from app.web.blueprint import LOCATION, Blueprint, Created
from app.web.live.long_poll import hub
from app.web.requests.etags import IfMatch, IfNoneMatch, etag, etag_header
from app.web.requests.idempotency import key_of
from app.web.responses.masking import digest_secrets, payload_keys
from app.web.schemas.tasks import ChangeTask, EventList, SubmitTask, TaskFilter, TaskList, TaskView, Wait, task_path
from app.web.submission import submit
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import load_types

blueprint = Blueprint(
    "tasks", __name__, url_prefix="/api/v1", description="Tasks: one row each, from submission to result"
)

TASK_ID = [{"name": "task_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]
ETAG = {"ETag": {"description": "Changes with the task", "schema": {"type": "string"}}}
EXAMPLES: dict[str, Any] = {}


def fill_examples() -> None:
    """For the documentation of `POST /tasks`; when the application is made, as importing this must not need types."""
    EXAMPLES.update(
        {
            name: {"summary": task_type.summary, "value": {"type": name, "payload": task_type.examples[0]}}
            for name, task_type in load_types().items()
            if task_type.examples
        }
    )


@blueprint.post("/tasks")
@blueprint.arguments(SubmitTask(), examples=EXAMPLES)
@blueprint.creates(
    TaskView(),
    "task",
    description="Accepted and durable",
    repeated="The `id` or the Idempotency-Key was used before, or `unique` found its like: that task",
    headers=LOCATION | ETAG,
)
@blueprint.problem(403, "The account, or its API key, may not use this task type: `type_not_allowed`")
@blueprint.problem(422, "Unknown type, a payload its type refuses, or an `id` that is taken: `id_taken`")
def submit_task(submission: Submission, headers: dict[str, Any]) -> Created[TaskRecord]:
    """Submit a task; the same `id`, or the same Idempotency-Key, returns the first one."""
    key = key_of(headers, "tasks", submission, secrets=digest_secrets(submission.type)) if headers["key"] else None
    accepted = submit(submission, key)
    return Created(
        record=accepted.task,
        path=task_path(accepted.task),
        is_new=accepted.is_new,
        headers=etag_header(accepted.task),
    )


@blueprint.get("/tasks")
@blueprint.pages(TaskList(), "tasks", query=TaskFilter())
def list_tasks(wanted: dict[str, Any]) -> Page[TaskRecord]:
    """List tasks, newest first."""
    chosen = task_service.Filter(
        statuses=wanted.get("status", ()),
        types=wanted.get("type", ()),
        labels=[tuple(label.split(":", 1)) for label in wanted.get("label", ())],
        created_after=wanted.get("created_after"),
        created_before=wanted.get("created_before"),
        text=wanted.get("q"),
    )
    with transaction(autocommit=True) as session:
        return task_service.find(session, chosen, owner=visible_owner(), before=wanted["before"], limit=wanted["limit"])


@blueprint.get("/tasks/<task_id>", parameters=TASK_ID)
@blueprint.arguments(Wait(), location="query")
@blueprint.arguments(IfNoneMatch(), location="headers")
@blueprint.response(200, TaskView(), headers=ETAG)
@blueprint.alt_response(304, description="Not changed since")
def read_task(query: dict[str, Any], _headers: dict[str, Any], task_id: str) -> Any:
    """Read a task; with ?wait= the answer comes when it has finished."""
    id_ = parse_id(task_id)
    with transaction(autocommit=True) as session:
        task = task_service.read(session, id_, owner=visible_owner())
    if query["wait"] and not task.is_finished:
        task = hub().wait(task, seconds=query["wait"], caller=current_caller())
    tag = etag(task)
    if request.if_none_match.contains_weak(tag):  # weak: a proxy that compresses makes it so
        return Response(status=304, headers={"ETag": f'"{tag}"'})
    return task, {"ETag": f'"{tag}"'}


@blueprint.patch("/tasks/<task_id>", parameters=TASK_ID)
@blueprint.arguments(ChangeTask())
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(200, TaskView(), headers=ETAG)
@blueprint.problem(409, "Too late: it has started or is finished")
@blueprint.problem(412, "Changed since it was read")
def change_task(fields: dict[str, Any], headers: dict[str, Any], task_id: str) -> tuple[TaskRecord, dict[str, str]]:
    """Change a task that has not started; what is left out stays as it is."""
    id_ = parse_id(task_id)
    with transaction() as session:
        quotas.check_size(fields.get("payload"))
        task = task_service.change(
            session,
            id_,
            fields,
            owner=visible_owner(),
            states=headers["states"],
            now=utcnow(),
            payload_keys=payload_keys(),
            rights=current_rights(),
        )
    return task, etag_header(task)


@blueprint.delete("/tasks/<task_id>", parameters=TASK_ID)
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(204, description="Deleted, with its history")
@blueprint.problem(409, "Not finished yet, or its events have not been passed on yet")
@blueprint.problem(412, "Changed since it was read")
def delete_task(headers: dict[str, Any], task_id: str) -> None:
    """Delete a finished task and its history."""
    id_ = parse_id(task_id)
    with transaction() as session:
        task_service.delete(session, id_, owner=visible_owner(), states=headers["states"])


@blueprint.get("/tasks/<task_id>/events", parameters=TASK_ID)
@blueprint.pages(EventList(), "events", key=int)
def list_events(page: dict[str, Any], task_id: str) -> Page[EventRecord]:
    """Read the history of a task's status, oldest first."""
    id_ = parse_id(task_id)
    with transaction(autocommit=True) as session:
        return task_service.events(session, id_, owner=visible_owner(), after=page["before"], limit=page["limit"])


@blueprint.get("/tasks/<task_id>/children", parameters=TASK_ID)
@blueprint.pages(TaskList(), "children")
def list_children(page: dict[str, Any], task_id: str) -> Page[TaskRecord]:
    """List the tasks that a task's handler submitted, newest first."""
    id_ = parse_id(task_id)
    with transaction(autocommit=True) as session:
        return children.find(session, id_, owner=visible_owner(), before=page["before"], limit=page["limit"])


def parse_id(text: str) -> UUID:
    """The id in a path. Raises NotFound for what cannot be one."""
    if not UUID_TEXT.fullmatch(text):
        raise NotFound("There is no such task: an id is a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab.")
    return UUID(text)
