"""Runs of workflows: which there are, how far one is, drawn; and pausing, cancelling, retrying and undoing it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.database import Session
from app.errors import NotFound
from app.models import RunRecord, RunStatus
from app.services import workflows
from app.services.workflows import Filter, RunView, picture
from app.web import quotas
from app.web.access import Access, access, visible_owner
from app.web.requests import pagination
from app.web.transactions import in_transaction, transaction
from tasks.masking import mask_named

PAGE = 50
MAX_TEXT, MAX_REASON = 200, 500
ACTIONS: dict[str, tuple[str, frozenset[str]]] = {
    "pause": ("No further step starts.", frozenset({"RUNNING"})),
    "resume": ("It goes on.", frozenset({"PAUSED"})),
    "cancel": ("It is cancelled, or will be once its steps have stopped.", frozenset({"RUNNING", "PAUSED"})),
    "retry": ("It goes on from the steps that had failed.", frozenset({"FAILED", "CANCELLED"})),
    "compensate": (
        "What it has done is being undone.",
        frozenset({"COMPLETED", "FAILED", "CANCELLED", "COMPENSATION_FAILED"}),
    ),
}
"""What is said afterwards, and the statuses in which it can be asked for."""


@blueprint.get("/runs")
def list_runs() -> str:
    """All runs that the caller sees, newest first."""
    name = request.args.get("workflow", "").strip()[:MAX_TEXT].replace("\0", "")
    statuses = [each for each in request.args.getlist("status") if each in set(RunStatus)]
    before = pagination.decode(request.args.get("cursor"), "dashboard.runs")
    with transaction() as session:
        items, last = workflows.find(
            session,
            Filter(workflow=name or None, statuses=statuses),
            visible_to=visible_owner(),
            before=before,
            limit=PAGE,
        )
        people = names_of(session, [each.run.owner_id for each in items])
    return render_template(
        "dashboard/runs.html",
        items=items,
        people=people,
        run_statuses=list(RunStatus),
        chosen=statuses,
        next_cursor=pagination.encode(last, "dashboard.runs"),
    )


@blueprint.get("/runs/<uuid:run_id>")
def show_run(run_id: UUID) -> str:
    """One run: its steps as a picture and as a list, and its history."""
    with transaction() as session:
        view = _view(session, run_id)
        history = workflows.events(session, run_id)
        people = names_of(session, [view.run.owner_id])
    return render_template(
        "dashboard/run.html",
        view=view,
        run=view.run,
        given=mask_named(view.run.input),
        drawn=drawn(view),
        history=history,
        people=people,
        actions=_actions(view.run),
    )


def _actions(run: RunRecord) -> set[str]:
    """What can be asked for now; one that is ending is neither paused nor resumed."""
    fitting = {action for action, (_, statuses) in ACTIONS.items() if run.status in statuses}
    return fitting if run.ending is None else fitting - {"pause", "resume"}


@blueprint.get("/runs/<uuid:run_id>/<any(pause, resume, cancel, retry, compensate):action>")
@access(Access.WRITE)
def ask_run(run_id: UUID, action: str) -> str:
    """Ask first, and say which steps it touches."""
    with transaction() as session:
        view = _view(session, run_id)
    return render_template("dashboard/confirm_run.html", view=view, run=view.run, action=action)


@blueprint.post("/runs/<uuid:run_id>/<any(pause, resume, cancel, retry, compensate):action>")
def act_on_run(run_id: UUID, action: str) -> Response:
    """Do it."""
    reason = request.form.get("reason", "").strip()[:MAX_REASON].replace("\0", "")
    changes: dict[str, Callable[..., RunRecord]] = {
        "pause": workflows.pause,
        "resume": workflows.resume,
        "cancel": workflows.cancel,
        "retry": workflows.retry,
        "compensate": workflows.compensate,
    }
    more: dict[str, Any] = {"reason": reason} if action == "compensate" else {}

    def change(session: Session) -> None:
        asked = more | ({"allowance": quotas.allowance_in(session)} if action == "retry" else {})
        changes[action](session, run_id, visible_to=visible_owner(), now=utcnow(), **asked)

    in_transaction(change)
    flash(ACTIONS[action][0])
    return redirect(url_for("dashboard.show_run", run_id=run_id))


def drawn(view: RunView) -> dict[str, Any]:
    """The run's steps with places to draw them at, their states and their tasks."""
    states = {each.key: (each.state, each.compensation_status) for each in view.steps}
    graph = picture.draw(view.definition, title=f"Steps of the run, {view.progress.percent} % done", states=states)
    shown = graph.as_json()
    places = {node["key"]: node for node in shown["nodes"]}
    tasks = {each.key: each.task_id for each in view.steps}
    return with_lines(shown, places) | {"tasks": tasks}


def with_lines(shown: dict[str, Any], places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A picture whose edges say where they begin and end."""
    lines = []
    for edge in shown["edges"]:
        before, after = places[edge["from"]], places[edge["to"]]
        x1, y1 = before["x"] + before["width"], before["y"] + before["height"] // 2
        x2, y2 = after["x"], after["y"] + after["height"] // 2
        lines.append(f"M{x1} {y1}C{(x1 + x2) // 2} {y1} {(x1 + x2) // 2} {y2} {x2} {y2}")
    return shown | {"lines": lines}


def _view(session: Session, run_id: UUID) -> RunView:
    run = workflows.read(session, run_id, visible_to=visible_owner())
    view = workflows.view(session, run)
    if not view.steps:
        raise NotFound(f"The steps of run {run_id} have been deleted.")
    return view
