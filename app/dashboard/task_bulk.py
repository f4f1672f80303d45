"""What is done with several selected tasks: first a page that says what it will touch, then each by itself."""

from collections import Counter
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for

from app.dashboard.blueprint import blueprint
from app.dashboard.task_actions import many
from app.dashboard.task_page import actions_for
from app.errors import Conflict, NotFound
from app.models import TaskRecord
from app.services.accounts.quotas import QuotaReached
from app.services.accounts.rights import TypeNotAllowed
from app.services.tasks import records as task_service
from app.web.access import visible_owner
from app.web.oversight import look_at_selected
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT

MAX_SELECTED = 200
VERBS = {"cancel": "Cancel", "retry": "Start over", "delete": "Delete"}
EFFECTS = {
    "cancel": "Waiting tasks never start; running ones are asked to stop.",
    "retry": "They run again with fresh retries. What earlier attempts did outside may be done a second time.",
    "delete": "Their rows, histories and logs are removed and cannot be brought back.",
}


@blueprint.post("/tasks/selected")
def act_on_selected() -> Any:
    """Ask first; with `confirmed`, do it."""
    action = request.form.get("action", "")
    work = many(action)
    ids = [UUID(id_) for id_ in request.form.getlist("id")[:MAX_SELECTED] if UUID_TEXT.fullmatch(id_)]
    if not ids:
        flash("Nothing was selected.")
        return redirect(_back())
    if "confirmed" not in request.form:
        return _ask(action, ids)
    look_at_selected(action, ids)
    done, refused = 0, Counter[str]()
    for id_ in ids:
        try:
            with transaction() as session:  # one each: what one task refuses must not undo the others
                work(session, id_)
            done += 1
        except (NotFound, Conflict, QuotaReached, TypeNotAllowed) as error:
            refused[str(error).replace(str(id_), "")] += 1
    flash(f"{VERBS[action]}: done for {done} of {len(ids)}.")
    for reason, count in refused.items():
        flash(f"{count} left as they were: {reason}")
    return redirect(_back())


def _ask(action: str, ids: list[UUID]) -> str:
    found: list[TaskRecord] = []
    with transaction() as session:
        for id_ in ids:
            try:
                found.append(task_service.read(session, id_, owner=visible_owner()))
            except NotFound:
                continue
    possible = [task for task in found if getattr(actions_for(task), action)]
    return render_template(
        "dashboard/confirm_selected.html",
        action=action,
        verb=VERBS[action],
        effect=EFFECTS[action],
        possible=possible,
        counts=Counter(task.status for task in possible),
        others=Counter(task.status for task in found if task not in possible),
        back=_back(),
    )


def _back() -> str:
    """The list as it was filtered, and nothing outside of it."""
    wanted = request.form.get("back", "")
    path = url_for("dashboard.list_tasks")
    is_list = wanted == path or wanted.startswith(f"{path}?")
    return wanted if is_list and wanted.isprintable() else path  # a line break can be in no header
