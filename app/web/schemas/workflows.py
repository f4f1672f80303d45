"""What workflows and their runs look like in requests and answers."""

from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.models import CompensationStatus, Priority, RunStatus, StepState
from app.services.workflows import NewRun, NewWorkflow, RunView, StepView, WorkflowRecord
from app.web.fields import Few, Instant, QueryMoment, Several, Verbatim, matching, one_of, text
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema, absent
from app.web.schemas.schedules import FlagInQuery
from app.web.schemas.tasks import LABEL_KEY, MAX_LABELS, labels_field
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.workflows.declaring import NAME
from tasks.redaction import mask_named, redacted

STATUSES = {"enum": [status.value for status in RunStatus]}
DEFINITION = {
    "type": "object",
    "description": "Steps by key, or initialTask with transitions; docs/reference/workflows.md",
    "properties": {
        "steps": {"type": "object", "minProperties": 1, "maxProperties": 1000},
        "input": {"type": "object"},
        "on_failure": {"enum": ["compensate", "stop"]},
        "labels": {"type": "object"},
        "initialTask": {"type": "object"},
        "transitions": {"type": "object"},
    },
}
_ANY_OBJECT = {"type": "object"}


def name_field(**options: Any) -> strict.Text:
    """The name of a workflow."""
    fault = "must have 1 to 100 letters, digits, spaces, _ . and -, a letter or digit first, no space last"
    return matching(NAME.pattern, fault, **options)


class CreateWorkflow(StrictSchema):
    """A new workflow."""

    name = name_field(required=True)
    definition = Verbatim(DEFINITION, required=True)
    description = text(1000, metadata={"description": "For people"})
    active = strict.Flag(metadata={"description": "Whether runs may be started; true unless given"})

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewWorkflow:
        """As the service takes it."""
        return NewWorkflow(**fields)


class ChangeWorkflow(StrictSchema):
    """A change; another definition becomes the next version."""

    read_only = frozenset({"id", "name", "version", "active", "owner", "created_at", "updated_at", "links"})

    definition = Verbatim(DEFINITION)
    description = text(1000)


class ByVersion(StrictSchema):
    """Which version to read."""

    version = ma.fields.Integer(
        load_default=absent,
        validate=ma.validate.Range(1, 2**31 - 1, error="must be from {min} to {max}"),
        error_messages={"invalid": "must be a whole number"},
        metadata={"description": "The newest unless given"},
    )


def shown_definition(definition: dict[str, Any]) -> dict[str, Any]:
    """Without the secrets in payloads."""
    shown = {**definition, "steps": {key: _shown_step(step) for key, step in definition["steps"].items()}}
    if "input" in definition:
        shown["input"] = {name: _shown_input(name, each) for name, each in definition["input"].items()}
    return shown


def _shown_input(name: str, declared: dict[str, Any]) -> dict[str, Any]:
    """As a run shows the value that it was given."""
    return {**declared, "default": mask_named({name: declared["default"]})[name]} if "default" in declared else declared


def _shown_step(step: dict[str, Any]) -> dict[str, Any]:
    shown = {**step, "payload": redacted(step["type"], step["payload"])}
    if "compensate_with" in step:
        undo = step["compensate_with"]
        shown["compensate_with"] = {**undo, "payload": redacted(undo["type"], undo["payload"])}
    return shown


class WorkflowView(ma.Schema):
    """A workflow with its newest definition, or the one that was asked for."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    description = ma.fields.String(required=True)
    active = ma.fields.Boolean(required=True, metadata={"description": "Whether runs may be started"})
    version = ma.fields.Integer(required=True)
    owner = ma.fields.UUID(
        attribute="owner_id", required=True, allow_none=True, metadata={"description": "null: the service's own"}
    )
    definition = ma.fields.Function(
        lambda workflow: shown_definition(workflow.definition),
        required=True,
        metadata={**_ANY_OBJECT, "description": "Steps by key; secrets show as [redacted]"},
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
    links = ma.fields.Function(
        lambda workflow: {
            "self": workflow_path(workflow),
            "runs": f"{workflow_path(workflow)}/runs",
            "versions": f"{workflow_path(workflow)}/versions",
            "graph": f"{workflow_path(workflow)}/graph.svg",
        },
        required=True,
        metadata={**_ANY_OBJECT, "description": "Paths of what belongs to it"},
    )


class WorkflowList(ma.Schema):
    """A page of workflows, newest first."""

    items = ma.fields.List(ma.fields.Nested(WorkflowView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class VersionView(ma.Schema):
    """One version of a workflow."""

    version = ma.fields.Integer(attribute="number", required=True)
    created_at = Instant(required=True)


class VersionList(ma.Schema):
    """The versions of a workflow, newest first; the newest 200."""

    items = ma.fields.List(ma.fields.Nested(VersionView), required=True)


class WorkflowFilter(PageQuery):
    """Query parameters of the list of workflows."""

    active = FlagInQuery(load_default=None, metadata={"description": "Only those of which runs may be started, or not"})
    q = text(200, load_default=None, metadata={"description": "Part of the name or of the description"})


class StartRun(StrictSchema):
    """What a run is given."""

    may_be_left_out = True

    input_ = Verbatim(
        {"type": "object", "description": "As the definition declares it"}, data_key="input", load_default=dict
    )
    priority = one_of(Priority, metadata={"description": "Of its tasks; normal unless given"})
    labels = labels_field()

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewRun:
        """As the service takes it."""
        return NewRun(input=fields.pop("input_"), **fields)


class CompensateRun(StrictSchema):
    """Why, and what a person has done already; all may be left out."""

    may_be_left_out = True

    reason = text(300, load_default="", metadata={"description": "For people: kept with each compensation"})
    done_by_hand = Few(
        text(63),
        load_default=list,
        validate=ma.validate.Length(max=1000, error="must be at most {max}"),
        metadata={"description": "Keys of steps that a person has undone; no task does so again"},
    )


class StepErrorView(ma.Schema):
    """Why a step failed."""

    type = ma.fields.String(required=True)
    message = ma.fields.String(required=True)


class StepOfRun(ma.Schema):
    """One step of a run."""

    key = ma.fields.String(required=True)
    type = ma.fields.String(required=True, metadata={"description": "Task type"})
    after = ma.fields.List(ma.fields.String(), required=True)
    state = ma.fields.String(required=True, metadata={"enum": [state.value for state in StepState]})
    task_id = ma.fields.UUID(required=True, allow_none=True)
    task_status = ma.fields.String(required=True, allow_none=True, metadata={"description": "Status of its task"})
    attempt = ma.fields.Integer(required=True, allow_none=True)
    progress = Verbatim({"type": ["object", "null"]}, required=True)
    error = ma.fields.Nested(StepErrorView, required=True, allow_none=True)
    undo_state = ma.fields.String(
        attribute="compensation_status",
        required=True,
        allow_none=True,
        metadata={"enum": [*(state.value for state in CompensationStatus), None]},
    )
    compensation_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "Task that undoes it"})
    started_at = Instant(required=True, allow_none=True)
    ended_at = Instant(required=True, allow_none=True)
    seconds = ma.fields.Function(
        lambda step: _rounded(step), required=True, metadata={"type": ["number", "null"], "description": "So far"}
    )


def _rounded(step: StepView) -> float | None:
    seconds = step.seconds(utcnow())
    return None if seconds is None else round(seconds, 3)


class ProgressOfRun(ma.Schema):
    """How far a run is, in steps."""

    percent = ma.fields.Integer(required=True, metadata={"description": "Completed or skipped, of all"})
    total = ma.fields.Integer(required=True)
    done = ma.fields.Integer(required=True)
    running = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(required=True)


class RunEventView(ma.Schema):
    """One change of a run's status."""

    at = Instant(required=True)
    status = ma.fields.String(required=True, metadata=STATUSES)
    previous_status = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)


class RunSummary(ma.Schema):
    """A run, without its steps."""

    id = ma.fields.UUID(attribute="run.id", required=True)
    workflow = ma.fields.String(attribute="run.workflow_name", required=True)
    version = ma.fields.Integer(attribute="run.version", required=True)
    owner = ma.fields.UUID(attribute="run.owner_id", required=True, allow_none=True)
    status = ma.fields.String(attribute="run.status", required=True, metadata=STATUSES)
    ending = ma.fields.String(
        attribute="run.ending",
        required=True,
        allow_none=True,
        metadata={"enum": ["failure", "cancel", None], "description": "Why no further step starts"},
    )
    reason = ma.fields.String(attribute="run.reason", required=True, allow_none=True)
    needs_a_person = ma.fields.Function(
        lambda view: view.run.status == RunStatus.COMPENSATION_FAILED,
        required=True,
        metadata={"type": "boolean", "description": "A compensation failed: nothing more happens by itself"},
    )
    input = ma.fields.Function(
        lambda view: mask_named(view.run.input), required=True, metadata={**_ANY_OBJECT, "description": "As given"}
    )
    labels = Verbatim(
        {"type": "object", "additionalProperties": {"type": "string"}}, attribute="run.labels", required=True
    )
    priority = ma.fields.String(attribute="run.priority", required=True)
    progress = ma.fields.Nested(ProgressOfRun, required=True)
    created_at = Instant(attribute="run.created_at", required=True)
    starts_at = Instant(attribute="run.starts_at", required=True, allow_none=True)
    finished_at = Instant(attribute="run.finished_at", required=True, allow_none=True)
    seconds = ma.fields.Function(
        lambda view: round(view.seconds(utcnow()), 3),
        required=True,
        metadata={"type": "number", "description": "So far"},
    )
    links = ma.fields.Function(
        lambda view: {"self": run_path(view), "graph": f"{run_path(view)}/graph.svg"},
        required=True,
        metadata={**_ANY_OBJECT, "description": "Paths of what belongs to it"},
    )


class RunDetails(RunSummary):
    """A run with its steps, in their order."""

    steps = ma.fields.List(ma.fields.Nested(StepOfRun), required=True)


class RunList(ma.Schema):
    """A page of runs, newest first."""

    items = ma.fields.List(ma.fields.Nested(RunSummary), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class RunEventList(ma.Schema):
    """The history of a run's status, oldest first."""

    items = ma.fields.List(ma.fields.Nested(RunEventView), required=True)


class RunsOfWorkflow(PageQuery):
    """Query parameters of the list of a workflow's runs; a run is listed when all that are given hold."""

    status = Several(one_of(RunStatus), metadata={"description": "Any of these; repeat it, or separate with commas"})
    label = Few(
        matching(rf"{LABEL_KEY}:[^\u0000]*", "must be key:value, such as customer_id:C-1"),
        metadata={"description": "key:value; repeat it for several that must all hold"},
        validate=ma.validate.Length(max=MAX_LABELS, error="must be at most {max}"),
    )
    created_after = QueryMoment(metadata={"description": "Started then or later"})
    created_before = QueryMoment(metadata={"description": "Started earlier"})


class RunFilter(RunsOfWorkflow):
    """Query parameters of the list of runs; a run is listed when all that are given hold."""

    workflow = name_field(metadata={"description": "Of workflows of this name"})


class EdgeView(ma.Schema):
    """A step comes after another."""

    from_ = ma.fields.String(required=True, data_key="from", attribute="from")
    to = ma.fields.String(required=True)


class NodeView(ma.Schema):
    """A step and where it is drawn, in pixels."""

    key = ma.fields.String(required=True)
    type = ma.fields.String(required=True)
    state = ma.fields.String(required=True, allow_none=True)
    undo_state = ma.fields.String(required=True, allow_none=True)
    x, y, width, height = (ma.fields.Integer(required=True) for _ in range(4))


class GraphView(ma.Schema):
    """A workflow, or a run of it, as a picture."""

    title = ma.fields.String(required=True)
    width = ma.fields.Integer(required=True)
    height = ma.fields.Integer(required=True)
    nodes = ma.fields.List(ma.fields.Nested(NodeView), required=True)
    edges = ma.fields.List(ma.fields.Nested(EdgeView), required=True)


def workflow_path(workflow: WorkflowRecord) -> str:
    """Where a workflow is read."""
    return f"/api/v1/workflows/{workflow.name.replace(' ', '%20')}"


def run_path(view: RunView) -> str:
    """Where a run is read."""
    return f"/api/v1/runs/{view.run.id}"
