"""/tasks/{id}/signals and /runs/{id}/signals: tell a task or a run what it waits for, and read what it was told."""

from typing import Any

from app.api.tasks.routes import TASK_ID, parse_id
from app.api.workflows.runs import RUN_ID, parse_run_id
from app.models.page import Page
from app.services import signals, workflows
from app.services.signals import NewSignal, Signal
from app.services.tasks import records
from app.web import signals as sending
from app.web.access import visible_owner
from app.web.blueprint import Blueprint, Created
from app.web.schemas.signals import NAME_IN_PATH, SendSignal, SignalList, SignalView
from app.web.transactions import transaction

blueprint = Blueprint("signals", __name__, url_prefix="/api/v1", description="What tasks and runs wait to be told")

TAKEN = "The Idempotency-Key was used before for this: the first signal"
FULL = "It is finished, or 100 signals lie untaken: `too_many_signals`"
TOO_LARGE = "A name that no wait has, data of more than 64 KB (`signal_too_large`), or data that the wait does not take"
NOT_ALLOWED = "The account, or its API key, may not use its task type: `type_not_allowed`"
KEPT = "It is kept until a wait takes it"


@blueprint.post("/tasks/<task_id>/signals/<name>", parameters=[*TASK_ID, NAME_IN_PATH])
@blueprint.arguments(SendSignal(), required=False)
@blueprint.creates(SignalView(), "signal", description=KEPT, repeated=TAKEN, headers=None)
@blueprint.problem(403, NOT_ALLOWED)
@blueprint.problem(409, FULL)
@blueprint.problem(422, TOO_LARGE)
def send_signal(fields: dict[str, Any], headers: dict[str, Any], task_id: str, name: str) -> Created[Signal]:
    """Send a signal to a task: it goes on if it waits for it, and else finds it there when it does."""
    signal, is_new = sending.to_task(parse_id(task_id), _new(name, fields, headers))
    return Created(record=signal, path=None, is_new=is_new)


@blueprint.post("/runs/<run_id>/signals/<name>", parameters=[*RUN_ID, NAME_IN_PATH])
@blueprint.arguments(SendSignal(), required=False)
@blueprint.creates(SignalView(), "signal", description=KEPT, repeated=TAKEN, headers=None)
@blueprint.problem(403, NOT_ALLOWED)
@blueprint.problem(409, FULL)
@blueprint.problem(422, TOO_LARGE)
def send_run_signal(fields: dict[str, Any], headers: dict[str, Any], run_id: str, name: str) -> Created[Signal]:
    """Send a signal to a run: the step that waits for it goes on."""
    signal, is_new = sending.to_run(parse_run_id(run_id), _new(name, fields, headers))
    return Created(record=signal, path=None, is_new=is_new)


@blueprint.get("/tasks/<task_id>/signals", parameters=TASK_ID)
@blueprint.pages(SignalList(), "signals", key=int)
def list_signals(page: dict[str, Any], task_id: str) -> Page[Signal]:
    """Read what a task was told, newest first: who sent it, when, and which step took it."""
    id_ = parse_id(task_id)
    with transaction() as session:
        task = records.read(session, id_, owner=visible_owner())
        found = signals.find(session, id_, before=page["before"], limit=page["limit"])
    return Page(sending.shown(task, found.items), found.next)


@blueprint.get("/runs/<run_id>/signals", parameters=RUN_ID)
@blueprint.pages(SignalList(), "run-signals", key=int)
def list_run_signals(page: dict[str, Any], run_id: str) -> Page[Signal]:
    """Read what a run was told, newest first."""
    id_ = parse_run_id(run_id)
    with transaction() as session:
        workflows.read(session, id_, visible_to=visible_owner())
        return signals.find(session, id_, before=page["before"], limit=page["limit"])


def _new(name: str, fields: dict[str, Any], headers: dict[str, Any]) -> NewSignal:
    return NewSignal(name=name, data=fields.get("data"), key=headers["key"])
