"""One task: what it was given, what came of it, what happened to it, and what can be done with it."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import render_template

from app.clock import utcnow
from app.dashboard import masked_values
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.errors import NotFound
from app.models import FINISHED, UNCLAIMED, EventRecord, Status, TaskRecord
from app.services import artifacts, explain, schedules
from app.services.lifecycle import on_hold
from app.services.lifecycle.transitions import REPLAYED
from app.services.signals import find as find_signals
from app.services.tasks import attempts, children, compensation, remembered, task_log, waits
from app.services.tasks import records as task_service
from app.services.tasks.attempts import Attempt
from app.web import signals
from app.web.access import current_principal, visible_owner
from app.web.responses.masking import is_sensitive, presentable
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import find_type

MAX_EVENTS, MAX_FILES, MAX_CHILDREN, MAX_STEPS, MAX_SIGNALS = 500, 50, 50, 100, 50
EXPLAINED = frozenset({*UNCLAIMED, Status.WAITING})
"""In these the page says why nothing happens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actions:
    """What can be done with a task now."""

    cancel: bool
    retry: bool
    edit: bool
    compensate: bool
    copy: bool
    delete: bool
    forget: bool = False
    """Start over, and forget what a durable task remembers."""


@blueprint.get("/tasks/<task_id>")
def show_task(task_id: str) -> str:
    """The page of one task."""
    id_, owner = parse_id(task_id), visible_owner()
    with transaction() as session:
        task = task_service.read(session, id_, owner=owner)
        history, more = task_service.events(session, id_, owner=owner, after=None, limit=MAX_EVENTS)
        submitted, more_children = children.find(session, id_, owner=owner, before=None, limit=MAX_CHILDREN)
        steps, more_steps = remembered.find(session, id_, after=None, limit=MAX_STEPS)
        told, more_told = find_signals(session, id_, before=None, limit=MAX_SIGNALS)
        found: dict[str, Any] = {
            "history": history,
            "is_history_cut": more is not None,
            "attempts": _attempts(history),
            "log": task_log.of_task(session, id_, owner=owner),
            "files": artifacts.find(session, owner=owner, task_id=id_, limit=MAX_FILES)[0],
            "children": submitted,
            "are_children_cut": more_children is not None,
            "steps": signals.steps_shown(task, steps),
            "are_steps_cut": more_steps is not None,
            "signals": signals.shown(task, told),
            "are_signals_cut": more_told is not None,
            "wait": waits.of(task),
            "slot": schedules.of_task(session, id_, task.created_at),
            "assigned": compensation.find(session, id_),
            "why": explain.why(session, id_, owner=owner, now=utcnow()) if task.status in EXPLAINED else None,
            "owner_name": names_of(session, [task.owner_id]).get(task.owner_id) if task.owner_id else None,
            "people": names_of(session, [each.sent_by for each in told]),
        }
    actions = actions_for(task)
    return render_template(
        "dashboard/task.html",
        task=task,
        type=find_type(task.type),
        payload=masked_values.payload_of(task),
        result=presentable(task).result,
        is_sensitive=is_sensitive(task),
        is_callers=masked_values.is_callers(task),
        actions=replace(actions, forget=actions.retry and bool(found["steps"])),
        is_on_hold=on_hold(task) is not None,
        **found,
    )


def parse_id(text: str) -> UUID:
    """The id in a path. Raises NotFound for what cannot be one."""
    if not UUID_TEXT.fullmatch(text):
        raise NotFound("There is no such task: an id is a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab.")
    return UUID(text)


def actions_for(task: TaskRecord) -> Actions:
    """What its status and its type allow; whether it is still so is checked when it is done. Pure.

    A task of a run is started over, and deleted, with its run.
    """
    kind = find_type(task.type)
    is_of_run = task.run_id is not None
    is_waiting = task.status in UNCLAIMED
    return Actions(
        cancel=is_waiting or (task.status in (Status.PROCESSING, Status.WAITING) and task.cancel_requested_at is None),
        retry=task.status in REPLAYED.sources and not is_of_run,
        edit=is_waiting and kind is not None,
        compensate=task.status == Status.COMPLETED and kind is not None and kind.compensable,
        copy=kind is not None and not kind.internal,
        delete=task.status in FINISHED and not is_of_run,
    )


def _attempts(history: list[EventRecord]) -> list[Attempt]:
    found = attempts.from_history(history)
    return found if current_principal().is_admin else [each.without_traceback() for each in found]
