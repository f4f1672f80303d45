"""/runs: read and list runs of workflows, and pause, resume, cancel, retry and undo them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response

from app.api.workflows.definitions import SVG, svg_answer
from app.clock import utcnow
from app.database import Session
from app.errors import NotFound
from app.models import RunRecord
from app.models.page import Page
from app.services import workflows
from app.services.workflows import Filter, RunView, picture
from app.services.workflows.picture import Picture
from app.web import quotas
from app.web.access import current_owner_id, visible_owner, workflow_caller
from app.web.blueprint import Blueprint, Created
from app.web.requests.idempotency import key_of
from app.web.schemas.runs import (
    CompensateRun,
    GraphView,
    InlineRun,
    RunDetails,
    RunEventList,
    RunFilter,
    RunList,
    RunsOfWorkflow,
    StartInlineRun,
    run_path,
)
from app.web.transactions import in_transaction, transaction
from taskledger_sdk.payload.fields import UUID_TEXT

blueprint = Blueprint("runs", __name__, url_prefix="/api/v1", description="Runs of workflows")

INLINE = {
    "definition": {
        "steps": {
            "reverse": {"type": "reverse_string", "payload": {"$from": "input.words"}},
            "shout": {"type": "uppercase_text", "payload": {"$from": "steps.reverse.result"}, "after": ["reverse"]},
        },
        "input": {"words": {"type": "string"}},
    },
    "input": {"words": "hello world"},
}
RUN_ID = [{"name": "run_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]


@blueprint.get("/runs")
@blueprint.pages(RunList(), "runs", query=RunFilter())
def list_runs(wanted: dict[str, Any]) -> Page[RunView]:
    """List runs, newest first."""
    return _list(wanted, wanted.get("workflow"))


@blueprint.post("/runs")
@blueprint.arguments(StartInlineRun(), example=INLINE)
@blueprint.creates(RunDetails(), "run", repeated="The `id` or the Idempotency-Key was used before: its run")
@blueprint.problem(403, "The account, or its API key, may not use a type of one of the steps: `type_not_allowed`")
@blueprint.problem(422, "A definition that cannot be run, an input that it refuses, or an `id` that is taken")
def start_inline_run(wanted: InlineRun, headers: dict[str, Any]) -> Created[RunView]:
    """Start a run of a definition that comes with the request and is stored with the run; it is no workflow."""
    key = key_of(headers, "runs", wanted)
    quotas.check_size(wanted.run.input)
    definition = workflows.checked(wanted.definition)

    def start(session: Session) -> tuple[RunView, bool]:
        run, is_new = workflows.start_inline_once(
            session,
            definition,
            wanted.run,
            name=wanted.name,
            key=key,
            owner_id=current_owner_id(),
            now=utcnow(),
            allowance=quotas.allowance_in(session),
        )
        return workflows.view(session, run), is_new

    view, is_new = in_transaction(start)
    return Created(record=view, path=run_path(view), is_new=is_new)


@blueprint.get("/workflows/<name>/runs")
@blueprint.pages(RunList(), "runs", query=RunsOfWorkflow())
def list_runs_of_workflow(wanted: dict[str, Any], name: str) -> Page[RunView]:
    """List the runs of a workflow, newest first."""
    with transaction() as session:
        workflows.read_workflow(session, name, caller=workflow_caller(), now=utcnow())
    return _list(wanted, name)


@blueprint.get("/runs/<run_id>", parameters=RUN_ID)
@blueprint.response(200, RunDetails())
def read_run(run_id: str) -> RunView:
    """Read a run: its status, its steps, how far it is and how long it has taken."""
    return _view(run_id)


@blueprint.get("/runs/<run_id>/events", parameters=RUN_ID)
@blueprint.response(200, RunEventList())
def list_run_events(run_id: str) -> dict[str, Any]:
    """Read the history of a run's status, oldest first."""
    id_ = parse_run_id(run_id)
    with transaction() as session:
        workflows.read(session, id_, visible_to=visible_owner())
        return {"items": workflows.events(session, id_)}


@blueprint.get("/runs/<run_id>/graph", parameters=RUN_ID)
@blueprint.response(200, GraphView())
def read_run_graph(run_id: str) -> dict[str, Any]:
    """Read the steps of a run as a graph with their states, and places to draw them at."""
    return _picture(_view(run_id)).as_json()


@blueprint.get("/runs/<run_id>/graph.svg", parameters=RUN_ID)
@blueprint.response(200, description="A picture", content_type=SVG)
def draw_run(run_id: str) -> Response:
    """See a run as a picture."""
    return svg_answer(_picture(_view(run_id)))


@blueprint.post("/runs/<run_id>/pause", parameters=RUN_ID)
@blueprint.response(200, RunDetails(), description="No further step starts; those handed out run on")
@blueprint.problem(409, "Not RUNNING, or ending")
def pause_run(run_id: str) -> RunView:
    """Pause a run."""
    return _changed(run_id, workflows.pause)


@blueprint.post("/runs/<run_id>/resume", parameters=RUN_ID)
@blueprint.response(200, RunDetails())
@blueprint.problem(409, "Not PAUSED, or ending")
def resume_run(run_id: str) -> RunView:
    """Resume a paused run."""
    return _changed(run_id, workflows.resume)


@blueprint.post("/runs/<run_id>/cancel", parameters=RUN_ID)
@blueprint.response(200, RunDetails(), description="It is cancelled")
@blueprint.alt_response(202, schema=RunDetails(), description="Steps still run, and were asked to stop")
@blueprint.problem(409, "Neither RUNNING nor PAUSED")
def cancel_run(run_id: str) -> tuple[RunView, int]:
    """Cancel a run; what it has completed stays until somebody asks to undo it."""
    view = _changed(run_id, workflows.cancel)
    return view, 200 if view.run.is_finished else 202


@blueprint.post("/runs/<run_id>/retry", parameters=RUN_ID)
@blueprint.response(200, RunDetails(), description="It goes on from the steps that failed or were cancelled")
@blueprint.problem(409, "Neither FAILED nor CANCELLED")
def retry_run(run_id: str) -> RunView:
    """Retry a run from the step where it ended; completed steps are not repeated."""

    def retry(session: Session, id_: UUID, **options: Any) -> RunRecord:
        return workflows.retry(session, id_, allowance=quotas.allowance_in(session), **options)

    return _changed(run_id, retry)


@blueprint.post("/runs/<run_id>/compensate", parameters=RUN_ID)
@blueprint.arguments(CompensateRun(), required=False)
@blueprint.response(200, RunDetails())
@blueprint.problem(409, "Not finished")
def compensate_run(fields: dict[str, Any], run_id: str) -> RunView:
    """Undo what a finished run has done, last step first; or go on with that where a compensation failed."""

    def compensate(session: Session, id_: UUID, **options: Any) -> RunRecord:
        return workflows.compensate(
            session,
            id_,
            reason=fields.get("reason", ""),
            done_by_hand=fields.get("done_by_hand", ()),
            allowance=quotas.compensation_allowance(),
            **options,
        )

    return _changed(run_id, compensate)


def parse_run_id(text: str) -> UUID:
    """The id in a path. Raises NotFound for what cannot be one."""
    if not UUID_TEXT.fullmatch(text):
        raise NotFound("There is no such run: an id is a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab.")
    return UUID(text)


def _list(wanted: dict[str, Any], workflow: str | None) -> Page[RunView]:
    chosen = Filter(
        workflow=workflow,
        statuses=wanted.get("status", ()),
        labels=[tuple(label.split(":", 1)) for label in wanted.get("label", ())],
        created_after=wanted.get("created_after"),
        created_before=wanted.get("created_before"),
    )
    with transaction() as session:
        return workflows.find(
            session, chosen, visible_to=visible_owner(), before=wanted["before"], limit=wanted["limit"]
        )


def _changed(run_id: str, change: Callable[..., RunRecord]) -> RunView:
    id_ = parse_run_id(run_id)

    def work(session: Session) -> RunView:
        return workflows.view(session, change(session, id_, visible_to=visible_owner(), now=utcnow()))

    return in_transaction(work)


def _view(run_id: str) -> RunView:
    id_ = parse_run_id(run_id)
    with transaction() as session:
        return workflows.view(session, workflows.read(session, id_, visible_to=visible_owner()))


def _picture(view: RunView) -> Picture:
    run = view.run
    title = f"Run {run.id} of workflow {run.workflow_name}: {run.status}, {view.progress.percent} %"
    states = {each.key: (each.state, each.compensation_status) for each in view.steps}
    return picture.draw(view.definition, title=title, states=states)
