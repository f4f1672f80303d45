"""What is done with one task. Each action has a page that asks first and says what it will touch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.blueprint import blueprint
from app.dashboard.task_page import actions_for, parse_id
from app.database import Session
from app.errors import NotFound
from app.models import Status, TaskRecord
from app.services.tasks import cancellation, compensation, replay
from app.services.tasks import records as task_service
from app.web import quotas
from app.web.access import Access, access, visible_owner
from app.web.transactions import transaction
from taskledger_sdk.registry import find_type

MAX_REASON = 500
Work = Callable[[Session, TaskRecord], tuple[str, UUID | None]]
"""Does it; returns what to say, and the task to show then (None: the list)."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: its words, and what does it."""

    verb: str
    question: str
    effect: Callable[[TaskRecord], str]
    work: Work
    is_destructive: bool = True
    asks_reason: bool = False


def _cancel(session: Session, task: TaskRecord) -> tuple[str, UUID | None]:
    found = cancellation.cancel(session, task.id, owner=visible_owner(), by=None, now=utcnow())
    return "Asked to stop; the receipt below will tell what was found." if found.is_stopping else "Cancelled.", task.id


def _retry(session: Session, task: TaskRecord) -> tuple[str, UUID | None]:
    replay.replay(session, task.id, owner=visible_owner(), now=utcnow(), allowance=quotas.allowance_in(session))
    return "Starts over.", task.id


def _forget(session: Session, task: TaskRecord) -> tuple[str, UUID | None]:
    allowance = quotas.allowance_in(session)
    replay.replay(session, task.id, owner=visible_owner(), now=utcnow(), fresh=True, allowance=allowance)
    return "Starts over, and remembers nothing.", task.id


def _compensate(session: Session, task: TaskRecord) -> tuple[str, UUID | None]:
    reason = request.form.get("reason", "")[:MAX_REASON].replace("\0", "")
    made, is_new = compensation.request(session, task.id, owner=visible_owner(), reason=reason, now=utcnow())
    return "This task undoes it." if is_new else "It was undone, or is being undone, by this task.", made.id


def _delete(session: Session, task: TaskRecord) -> tuple[str, UUID | None]:
    task_service.delete(session, task.id, owner=visible_owner(), states=None)
    return f"Deleted {task.id} with its history.", None


def _cancel_effect(task: TaskRecord) -> str:
    if task.status == Status.WAITING:
        return "It waits. Its children are cancelled with it, and what it has said how to undo is undone."
    if task.status != Status.PROCESSING:
        return "It has not started and never will."
    kind = find_type(task.type)
    grace = f" after {kind.grace_seconds} s" if kind else ""
    return f"It is running: its handler is asked to stop, and its process is ended{grace} if it does not."


ACTIONS = {
    "cancel": Action(verb="Cancel the task", question="Cancel this task?", effect=_cancel_effect, work=_cancel),
    "retry": Action(
        verb="Start it over",
        question="Start this task over?",
        effect=lambda task: (
            f"It runs again with the same payload and {task.max_retries} fresh retries; attempts count on from "
            f"{task.attempt}. What earlier attempts did outside may be done a second time."
        ),
        work=_retry,
        is_destructive=False,
    ),
    "forget": Action(
        verb="Forget, and start over",
        question="Start this task over from nothing?",
        effect=lambda _: (
            "It forgets its steps, and does all of it anew: what they did outside is done a second time. Its children "
            "stay as they are, and others are submitted."
        ),
        work=_forget,
    ),
    "compensate": Action(
        verb="Undo it",
        question="Undo what this task did?",
        effect=lambda task: f"A new task of the type compensation undoes this {task.type}; that happens once only.",
        work=_compensate,
        asks_reason=True,
    ),
    "delete": Action(
        verb="Delete for good",
        question="Delete this task?",
        effect=lambda _: "The row, its history and its log are removed and cannot be brought back. Files it made stay.",
        work=_delete,
    ),
}


def _is_possible(task: TaskRecord, action: str) -> bool:
    return bool(getattr(actions_for(task), "retry" if action == "forget" else action))


@blueprint.get("/tasks/<task_id>/<any(cancel, retry, forget, compensate, delete):action>")
@access(Access.WRITE)
def ask(task_id: str, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        task = task_service.read(session, parse_id(task_id), owner=visible_owner())
    chosen = ACTIONS[action]
    return render_template(
        "dashboard/confirm_task.html",
        task=task,
        action=chosen,
        effect=chosen.effect(task),
        is_possible=_is_possible(task, action),
    )


@blueprint.post("/tasks/<task_id>/<any(cancel, retry, forget, compensate, delete):action>")
def act(task_id: str, action: str) -> Response:
    """Do it."""
    id_ = parse_id(task_id)
    with transaction() as session:
        task = task_service.read(session, id_, owner=visible_owner())
        said, shown = ACTIONS[action].work(session, task)
    flash(said)
    return redirect(url_for("dashboard.show_task", task_id=shown) if shown else url_for("dashboard.list_tasks"))


def many(action: str) -> Callable[[Session, UUID], Any]:
    """What an action does to one of many selected tasks. Raises NotFound for an action that many cannot have."""
    if action == "cancel":
        return lambda session, id_: cancellation.cancel(session, id_, owner=visible_owner(), by=None, now=utcnow())
    if action == "retry":
        return lambda session, id_: replay.replay(
            session, id_, owner=visible_owner(), now=utcnow(), allowance=quotas.allowance_in(session)
        )
    if action == "delete":
        return lambda session, id_: task_service.delete(session, id_, owner=visible_owner(), states=None)
    raise NotFound("Selected tasks can be cancelled, started over or deleted.")
