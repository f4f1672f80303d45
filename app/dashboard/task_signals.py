"""Answering a task that waits for a signal: a form that the schema of the wait makes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from flask import flash, redirect, render_template, request, url_for

from app.dashboard import schema_form, schema_reading
from app.dashboard.blueprint import blueprint
from app.dashboard.task_page import parse_id
from app.dashboard.untouched import MISSING
from app.errors import Conflict, Refused, flatten
from app.models import TaskRecord
from app.services.signals import NewSignal, Signal, TooManySignals
from app.services.tasks import records as task_service
from app.services.tasks import waits
from app.web import signals
from app.web.access import Access, access, visible_owner
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT

ANYTHING: Mapping[str, Any] = {"description": "JSON or plain text: what the wait returns; may be left empty"}


@blueprint.get("/tasks/<task_id>/signals/<name>")
@access(Access.WRITE)
def show_answer_form(task_id: str, name: str) -> str:
    """The form of a signal that a task waits for."""
    return _page(_read(task_id), name, MISSING)


@blueprint.post("/tasks/<task_id>/signals/<name>")
def answer(task_id: str, name: str) -> Any:
    """Send it, or draw the form again after one of its buttons or with what was wrong."""
    task = _read(task_id)
    schema = _schema(task, name)
    data, _ = schema_reading.read(schema, request.form, "data")
    for action in ("add", "remove"):
        if (path := request.form.get(f"_{action}")) is not None:
            return _page(task, name, schema_reading.changed(data, schema, action=action, path=path.split(".")[1:]))
    if "_refresh" in request.form:
        return _page(task, name, data)
    key = request.form.get("key", "")
    new = NewSignal(
        name=name, data=None if data is MISSING else data, key=key if UUID_TEXT.fullmatch(key) else str(uuid4())
    )
    try:
        _, is_new = _send(task, new)
    except Refused as error:
        return _page(task, name, data, errors=_messages(error.errors)), 422
    except (Conflict, TooManySignals) as error:
        return _page(task, name, data, errors={"data": [str(error)]}), 409
    flash("Sent." if is_new else "This form was sent before.")
    return redirect(url_for("dashboard.show_task", task_id=task.id))


def _send(task: TaskRecord, new: NewSignal) -> tuple[Signal, bool]:
    """To the task, or to the run whose step waits."""
    wait = waits.of(task)
    if wait is not None and wait.name == new.name and wait.target is not None:
        return signals.to_run(wait.target, new)
    return signals.to_task(task.id, new)


def _page(task: TaskRecord, name: str, data: Any, errors: Mapping[str, Sequence[str]] | None = None) -> str:
    messages = errors or {}
    node = schema_form.build(_schema(task, name), data, name="data", label="Answer", errors=messages)
    placed = set(_names(node))
    return render_template(
        "dashboard/answer.html",
        task=task,
        signal=name,
        wait=waits.of(task),
        node=node,
        key=request.form.get("key") or uuid4(),
        unplaced=[text for path, texts in messages.items() if path not in placed for text in texts],
    )


def _schema(task: TaskRecord, name: str) -> Mapping[str, Any]:
    """The schema of the wait for this signal, where the task waits for it now and said one."""
    wait = waits.of(task)
    return wait.schema if wait is not None and wait.name == name and wait.schema else ANYTHING


def _messages(errors: Mapping[str, Any]) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for path, message in flatten(errors):
        messages.setdefault(path, []).append(message)
    return messages


def _names(node: schema_form.Node) -> list[str]:
    return [node.name, *(name for child in node.children for name in _names(child))]


def _read(task_id: str) -> TaskRecord:
    with transaction(autocommit=True) as session:
        return task_service.read(session, parse_id(task_id), owner=visible_owner())
