"""Schemas of runs: what starts one, what is shown of it and its steps, and how it is drawn."""

from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from app.clock import utcnow
from app.models import CompensationStatus, Priority, RunStatus, StepState
from app.services.workflows import NewRun, RunView, StepView
from app.web.fields import Few, Instant, QueryMoment, Several, Verbatim, matching, one_of, text
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import LABEL_KEY, MAX_LABELS, id_field, labels_field
from app.web.schemas.workflows import DEFINITION, name_field
from taskledger_sdk.payload import fields as strict
from tasks.masking import mask_named

STATUSES = {"enum": [status.value for status in RunStatus]}
_ANY_OBJECT = {"type": "object"}


class StartRun(StrictSchema):
    """What a run is given."""

    may_be_left_out = True

    input_ = Verbatim(
        {"type": "object", "description": "As the definition declares it"}, data_key="input", load_default=dict
    )
    priority = one_of(Priority, metadata={"description": "Of its tasks; normal unless given"})
    labels = labels_field()
    starts_at = strict.Moment(allow_none=True, metadata={"description": "No step begins before this moment"})
    id = id_field("request")

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> NewRun:
        """As the service takes it."""
        return NewRun(input=fields.pop("input_"), **fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class InlineRun:
    """What a request says to run, with the definition of its own."""

    name: str
    definition: Any
    run: NewRun

    def fingerprinted(self) -> dict[str, Any]:
        """What an Idempotency-Key is compared by."""
        return {"name": self.name, "definition": self.definition, "run": self.run.fingerprinted()}


class StartInlineRun(StrictSchema):
    """A run that brings its definition with it."""

    definition = Verbatim(DEFINITION, required=True, error_messages={"required": "is missing"})
    name = name_field(
        load_default="inline", metadata={"description": "What the run shows as its workflow, for people; not unique"}
    )
    input_, priority, labels, starts_at, id = (
        StartRun._declared_fields[name] for name in ("input_", "priority", "labels", "starts_at", "id")
    )

    @ma.post_load
    def make(self, fields: dict[str, Any], **_: Any) -> InlineRun:
        """As the route takes it."""
        run = NewRun(
            **{
                "input" if name == "input_" else name: fields[name]
                for name in StartRun._declared_fields
                if name in fields
            }
        )
        return InlineRun(name=fields["name"], definition=fields["definition"], run=run)


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


class ItemsOfStep(ma.Schema):
    """How far the items of a step with `for_each` are."""

    total = ma.fields.Integer(required=True)
    completed = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(required=True)
    running = ma.fields.Integer(required=True, metadata={"description": "Let go, and not ended: max_parallel at most"})


class StepOfRun(ma.Schema):
    """One step of a run."""

    key = ma.fields.String(required=True)
    type = ma.fields.String(required=True, metadata={"description": "Task type; with `for_each`, of its items"})
    items = ma.fields.Nested(
        ItemsOfStep, required=True, allow_none=True, metadata={"description": "null: without `for_each`, or not begun"}
    )
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


def run_path(view: RunView) -> str:
    """Where a run is read."""
    return f"/api/v1/runs/{view.run.id}"
