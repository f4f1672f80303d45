"""/workflows: make, read, change and delete workflows, switch them on and off, and start runs of them."""

from dataclasses import dataclass
from typing import Any

from flask import Response

from app.clock import utcnow
from app.models.page import Page
from app.services import workflows
from app.services.workflows import NewRun, NewWorkflow, RunView, WorkflowRecord, picture
from app.services.workflows.picture import Picture
from app.web import quotas
from app.web.access import current_owner_id, workflow_caller
from app.web.blueprint import Blueprint, Created
from app.web.requests.idempotency import key_of
from app.web.schemas.runs import GraphView, RunDetails, StartRun, run_path
from app.web.schemas.workflows import (
    ByVersion,
    ChangeWorkflow,
    CreateWorkflow,
    VersionList,
    WorkflowFilter,
    WorkflowList,
    WorkflowView,
    workflow_path,
)
from app.web.transactions import in_transaction, transaction

blueprint = Blueprint(
    "workflows", __name__, url_prefix="/api/v1", description="Tasks that follow on one another, and are undone together"
)

SVG = "image/svg+xml"
# A picture may be opened as a page: it loads and runs nothing.
SVG_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
}
EXAMPLES = {
    "steps": {
        "summary": "Two steps, the second with the result of the first",
        "value": {
            "name": "shout",
            "definition": {
                "input": {"words": {"type": "string"}},
                "steps": {
                    "reverse": {"type": "reverse_string", "payload": {"$from": "input.words"}},
                    "shout": {
                        "type": "uppercase_text",
                        "payload": {"$from": "steps.reverse.result"},
                        "after": ["reverse"],
                    },
                },
            },
        },
    },
    "linear": {
        "summary": "The short form: what follows a task of a type",
        "value": {
            "name": "Order Processing Workflow",
            "definition": {
                "initialTask": {"type": "http_request", "payload": {"url": "https://example.org/orders"}},
                "transitions": {"http_request": {"type": "reverse_string", "payload": "done"}},
            },
        },
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What a request to start a run says, for its Idempotency-Key."""

    workflow: str
    run: NewRun

    def fingerprinted(self) -> dict[str, Any]:
        """What an Idempotency-Key is compared by."""
        return {"workflow": self.workflow, "run": self.run.fingerprinted()}


@blueprint.post("/workflows")
@blueprint.arguments(CreateWorkflow(), examples=EXAMPLES)
@blueprint.creates(WorkflowView(), "workflow")
@blueprint.problem(409, "There is one of this name already")
@blueprint.problem(422, "A definition that cannot be run: the place of each fault is below `definition`")
def create_workflow(wanted: NewWorkflow, headers: dict[str, Any]) -> Created[WorkflowRecord]:
    """Make a workflow."""
    key = key_of(headers, "workflows", wanted)
    with transaction() as session:
        made, is_new = workflows.create_once(
            session,
            wanted,
            key=key,
            owner_id=current_owner_id(),
            now=utcnow(),
            allowance=quotas.allowance_in(session),
        )
    return Created(record=made, path=workflow_path(made), is_new=is_new)


@blueprint.get("/workflows")
@blueprint.pages(WorkflowList(), "workflows", query=WorkflowFilter())
def list_workflows(wanted: dict[str, Any]) -> Page[WorkflowRecord]:
    """List workflows, newest first; those of the service itself are among them."""
    with transaction() as session:
        return workflows.find_workflows(
            session,
            caller=workflow_caller(),
            active=wanted["active"],
            text=wanted["q"],
            before=wanted["before"],
            limit=wanted["limit"],
            now=utcnow(),
        )


@blueprint.get("/workflows/<name>")
@blueprint.arguments(ByVersion(), location="query")
@blueprint.response(200, WorkflowView())
def read_workflow(wanted: dict[str, Any], name: str) -> WorkflowRecord:
    """Read a workflow: the newest version, or another one."""
    return _read(name, wanted["version"])


@blueprint.patch("/workflows/<name>")
@blueprint.arguments(ChangeWorkflow())
@blueprint.response(200, WorkflowView())
@blueprint.problem(409, "It belongs to the service itself")
@blueprint.problem(422, "As for a new one")
def change_workflow(fields: dict[str, Any], name: str) -> WorkflowRecord:
    """Change a workflow; runs under way go by the version they began with."""
    with transaction() as session:
        return workflows.change(
            session, name, caller=workflow_caller(), now=utcnow(), allowance=quotas.allowance_in(session), **fields
        )


@blueprint.delete("/workflows/<name>")
@blueprint.response(204, description="Deleted; its finished runs stay")
@blueprint.problem(409, "Runs are under way, or it belongs to the service itself")
def delete_workflow(name: str) -> None:
    """Delete a workflow."""
    with transaction() as session:
        workflows.delete(session, name, caller=workflow_caller(), now=utcnow())


@blueprint.get("/workflows/<name>/versions")
@blueprint.response(200, VersionList())
def list_versions(name: str) -> dict[str, Any]:
    """List the versions of a workflow, newest first."""
    with transaction() as session:
        found = workflows.read_workflow(session, name, caller=workflow_caller(), now=utcnow())
        return {"items": workflows.version_list(session, found)}


@blueprint.post("/workflows/<name>/activate")
@blueprint.response(200, WorkflowView())
@blueprint.problem(409, "It belongs to the service itself, and you are no admin")
def activate_workflow(name: str) -> WorkflowRecord:
    """Allow new runs."""
    with transaction() as session:
        return workflows.set_active(session, name, True, caller=workflow_caller(), now=utcnow())


@blueprint.post("/workflows/<name>/deactivate")
@blueprint.response(200, WorkflowView())
@blueprint.problem(409, "It belongs to the service itself, and you are no admin")
def deactivate_workflow(name: str) -> WorkflowRecord:
    """Forbid new runs; those under way go on."""
    with transaction() as session:
        return workflows.set_active(session, name, False, caller=workflow_caller(), now=utcnow())


@blueprint.get("/workflows/<name>/graph")
@blueprint.arguments(ByVersion(), location="query")
@blueprint.response(200, GraphView())
def read_workflow_graph(wanted: dict[str, Any], name: str) -> dict[str, Any]:
    """Read the steps as a graph, with places to draw them at."""
    return _picture(_read(name, wanted["version"])).as_json()


@blueprint.get("/workflows/<name>/graph.svg")
@blueprint.arguments(ByVersion(), location="query")
@blueprint.response(200, description="A picture", content_type=SVG)
def draw_workflow(wanted: dict[str, Any], name: str) -> Response:
    """See the steps as a picture."""
    return svg_answer(_picture(_read(name, wanted["version"])))


@blueprint.post("/workflows/<name>/runs")
@blueprint.arguments(StartRun(), required=False)
@blueprint.creates(RunDetails(), "run", repeated="The `id` or the Idempotency-Key was used before: its run")
@blueprint.problem(409, "The workflow is not active")
@blueprint.problem(422, "An input that the definition, or a first step's type, refuses, or an `id` that is taken")
def start_run(wanted: NewRun, headers: dict[str, Any], name: str) -> Created[RunView]:
    """Start a run of the newest version; the same `id`, or the same Idempotency-Key, returns the first one."""
    key = key_of(headers, "workflows.runs", RunRequest(workflow=name, run=wanted))

    quotas.check_size(wanted.input)

    def start(session: Any) -> tuple[RunView, bool]:
        allowance = quotas.allowance_in(session)
        run, is_new = workflows.start_once(
            session, name, wanted, key=key, caller=workflow_caller(), now=utcnow(), allowance=allowance
        )
        return workflows.view(session, run), is_new

    view, is_new = in_transaction(start)
    return Created(record=view, path=run_path(view), is_new=is_new)


def svg_answer(drawn: Picture) -> Response:
    """A picture as a document that does nothing else."""
    return Response(picture.svg(drawn), mimetype=SVG, headers=SVG_HEADERS)


def _read(name: str, number: int | None) -> WorkflowRecord:
    with transaction() as session:
        return workflows.read_workflow(session, name, caller=workflow_caller(), now=utcnow(), number=number)


def _picture(found: WorkflowRecord) -> Picture:
    definition = workflows.Definition.stored(found.definition)
    return picture.draw(definition, title=f"Workflow {found.name}, version {found.version}")
