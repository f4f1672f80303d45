"""What workflows look like in requests and answers."""

from typing import Any

import marshmallow as ma

from app.services.workflows import NewWorkflow, WorkflowRecord
from app.web.fields import Instant, Verbatim, matching, text
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema, absent
from app.web.schemas.schedules import FlagInQuery
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.workflows.declaring import NAME
from tasks.masking import mask_named, masked

DEFINITION = {
    "type": "object",
    "description": "Steps by key, or initialTask with transitions; docs/reference/workflows.md",
    "properties": {
        "steps": {"type": "object", "minProperties": 1, "maxProperties": 1000},
        "input": {"type": "object"},
        "on_failure": {"enum": ["compensate", "stop", "finish"]},
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
    """A step that waits, or is another workflow, has no type and no payload of its own."""
    shown = dict(step)
    if "type" in step:
        shown["payload"] = masked(step["type"], step["payload"])
    shown |= {name: mask_named(step[name]) for name in ("input", "for_each") if name in step}
    if "compensate_with" in step:
        undo = step["compensate_with"]
        shown["compensate_with"] = {**undo, "payload": masked(undo["type"], undo["payload"])}
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


def workflow_path(workflow: WorkflowRecord) -> str:
    """Where a workflow is read."""
    return f"/api/v1/workflows/{workflow.name.replace(' ', '%20')}"
