"""What a workflow is: one model, made from JSON, from the short linear form or in Python. Pure."""

from taskledger_sdk.workflows.declaring import (
    load_workflows,
    ref,
    sleep,
    step,
    sub_workflow,
    text,
    until,
    wait_for,
    workflow,
)
from taskledger_sdk.workflows.errors import DefinitionRefused, InputRefused, StepRefused
from taskledger_sdk.workflows.model import Definition, Step, Undo
from taskledger_sdk.workflows.parsing import parse

__all__ = [
    "Definition",
    "DefinitionRefused",
    "InputRefused",
    "Step",
    "StepRefused",
    "Undo",
    "load_workflows",
    "parse",
    "ref",
    "sleep",
    "step",
    "sub_workflow",
    "text",
    "until",
    "wait_for",
    "workflow",
]
