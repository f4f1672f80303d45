"""Changing a task that has not started."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError

from app.clock import utcnow
from app.dashboard import masked_values, submission_form
from app.dashboard.blueprint import blueprint
from app.dashboard.submission_form import Draft
from app.dashboard.task_page import actions_for, parse_id
from app.errors import Conflict, Outdated, Refused
from app.models import TaskRecord
from app.services.tasks import records as task_service
from app.web import quotas
from app.web.access import Access, access, current_rights, visible_owner
from app.web.requests.etags import States, etag
from app.web.responses.masking import payload_keys
from app.web.schemas.tasks import ChangeTask
from app.web.transactions import transaction
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, get_type


@blueprint.get("/tasks/<task_id>/edit")
@access(Access.WRITE)
def edit_task(task_id: str) -> str:
    """The form, filled with the task as it is."""
    task = _read(task_id)
    return _page(task, _drawn(task), state=etag(task))


@blueprint.post("/tasks/<task_id>/edit")
def change_task(task_id: str) -> Any:
    """Change it, unless it has started or was changed since the form was drawn."""
    task = _read(task_id)
    draft = submission_form.read(get_type(task.type), request.form, _drawn(task))
    state = request.form.get("state", "")
    redrawn = submission_form.after_button(get_type(task.type), draft, request.form)
    if redrawn is not None:
        return _page(task, redrawn, state=state)
    try:
        changed = _change(task, draft, state)
    except (Refused, PayloadRefused) as error:
        return _page(task, draft, state=state, errors=error.errors), 422
    except ValidationError as error:
        return _page(task, draft, state=state, errors=error.normalized_messages()), 422
    except (Conflict, Outdated) as error:
        return _page(task, draft, state=etag(_reread(task)), errors={"_schema": [str(error)]}), 409
    if changed is None:
        flash("Nothing was changed.")
        return redirect(url_for("dashboard.show_task", task_id=task.id))
    flash("Changed.")
    return redirect(url_for("dashboard.show_task", task_id=task.id))


def _drawn(task: TaskRecord) -> Draft:
    return submission_form.of_task(task, masked_values.veiled_payload(task))


def _change(task: TaskRecord, draft: Draft, state: str) -> TaskRecord | None:
    """The changed task; None where nothing was touched. Only what was touched is written."""
    body = {name: submission_form.typed(draft, name) for name in submission_form.KINDS if name in draft.touched}
    if "max_retries" in body and body["max_retries"] is None:
        body["max_retries"] = get_type(task.type).retry.max_retries  # as the form says of a blank one
    if "labels" in draft.touched:
        body["labels"] = submission_form.labels_of(draft)
    if "payload" in draft.touched and masked_values.may_be_edited(task):
        body["payload"] = masked_values.restored(submission_form.payload_of(draft), task)
    if not body and state == etag(task):
        return None
    fields = ChangeTask().load(body)
    quotas.check_size(fields.get("payload"))
    with transaction() as session:
        return task_service.change(
            session,
            task.id,
            fields,
            owner=visible_owner(),
            states=States().deserialize(f'"{state}"'),
            now=utcnow(),
            payload_keys=payload_keys(),
            rights=current_rights(),
        )


def _page(task: TaskRecord, draft: Draft, *, state: str, errors: dict[str, Any] | None = None) -> str:
    task_type = get_type(task.type)
    return render_template(
        "dashboard/task_edit.html",
        task=task,
        type=task_type,
        state=state,
        is_possible=actions_for(task).edit,
        has_payload=masked_values.may_be_edited(task),
        longest_timeout=MAX_TIMEOUT_SECONDS,
        **submission_form.nodes(task_type, draft, errors or {}),
    )


def _read(task_id: str) -> TaskRecord:
    with transaction(autocommit=True) as session:
        return task_service.read(session, parse_id(task_id), owner=visible_owner())


def _reread(task: TaskRecord) -> TaskRecord:
    with transaction(autocommit=True) as session:
        return task_service.read(session, task.id, owner=visible_owner())
