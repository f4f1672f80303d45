"""One task: what it was given, what came of it, what happened to it, and what can be done with it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import render_template

from app.clock import utcnow
from app.dashboard import masked_values
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.errors import NotFound
from app.models import FINISHED, WAITING, EventRecord, Status, TaskRecord
from app.services import artifacts, explain, schedules
from app.services.lifecycle import on_hold
from app.services.tasks import attempts, children, compensation, task_log
from app.services.tasks import records as task_service
from app.services.tasks.attempts import Attempt
from app.web.access import current_principal, visible_owner
from app.web.responses.masking import is_sensitive, presentable
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import find_type

MAX_EVENTS, MAX_FILES, MAX_CHILDREN = 500, 50, 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Actions:
    """What can be done with a task now."""

    cancel: bool
    retry: bool
    edit: bool
    compensate: bool
    copy: bool
    delete: bool


@blueprint.get("/tasks/<task_id>")
def show_task(task_id: str) -> str:
    """The page of one task."""
    id_, owner = parse_id(task_id), visible_owner()
    with transaction() as session:
        task = task_service.read(session, id_, owner=owner)
        history, more = task_service.events(session, id_, owner=owner, after=None, limit=MAX_EVENTS)
        submitted, more_children = children.find(session, id_, owner=owner, before=None, limit=MAX_CHILDREN)
        found: dict[str, Any] = {
            "history": history,
            "is_history_cut": more is not None,
            "attempts": _attempts(history),
            "log": task_log.of_task(session, id_, owner=owner),
            "files": artifacts.find(session, owner=owner, task_id=id_, limit=MAX_FILES)[0],
            "children": submitted,
            "are_children_cut": more_children is not None,
            "slot": schedules.of_task(session, id_, task.created_at),
            "assigned": compensation.find(session, id_),
            "why": explain.why(session, id_, owner=owner, now=utcnow()) if task.status in WAITING else None,
            "owner_name": names_of(session, [task.owner_id]).get(task.owner_id) if task.owner_id else None,
        }
    return render_template(
        "dashboard/task.html",
        task=task,
        type=find_type(task.type),
        payload=masked_values.payload_of(task),
        result=presentable(task).result,
        is_sensitive=is_sensitive(task),
        is_callers=masked_values.is_callers(task),
        actions=actions_for(task),
        is_on_hold=on_hold(task) is not None,
        **found,
    )


def parse_id(text: str) -> UUID:
    """The id in a path. Raises NotFound for what cannot be one."""
    if not UUID_TEXT.fullmatch(text):
        raise NotFound("There is no such task: an id is a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab.")
    return UUID(text)


def actions_for(task: TaskRecord) -> Actions:
    """What its status and its type allow; whether it is still so is checked when it is done. Pure."""
    kind = find_type(task.type)
    is_waiting = task.status in WAITING
    return Actions(
        cancel=is_waiting or (task.status == Status.PROCESSING and task.cancel_requested_at is None),
        retry=task.status in (Status.FAILED, Status.CANCELLED, Status.RETRYING),
        edit=is_waiting and kind is not None,
        compensate=task.status == Status.COMPLETED and kind is not None and kind.compensable,
        copy=kind is not None,
        delete=task.status in FINISHED,
    )


def _attempts(history: list[EventRecord]) -> list[Attempt]:
    found = attempts.from_history(history)
    return found if current_principal().is_admin else [each.without_traceback() for each in found]
