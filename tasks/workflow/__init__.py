"""What a workflow is: one model, made from JSON, from the short linear form or in Python. Pure."""

from tasks.workflow.declaring import load_workflows, ref, step, text, workflow
from tasks.workflow.errors import DefinitionRefused, InputRefused, StepRefused
from tasks.workflow.model import Definition, Step, Undo
from tasks.workflow.parsing import parse

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
    "step",
    "text",
    "workflow",
]
