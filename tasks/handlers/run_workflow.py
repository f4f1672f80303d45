"""run_workflow: what a step of a workflow is that starts a run of another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow.validate import Length

from taskledger_sdk import PermanentError, rule, task_type
from taskledger_sdk.workflows.control import MAX_WORKFLOW, SUB_WORKFLOW
from tasks.context import DurableServiceContext
from tasks.masking import mask_named


@dataclass(frozen=True, kw_only=True)
class RunWorkflow:
    """Which workflow, and the input of its run."""

    workflow: str = rule(Length(min=1, max=MAX_WORKFLOW))
    input: dict[str, Any] = rule(default_factory=dict, secret=mask_named)  # as its run shows it


@task_type(SUB_WORKFLOW, durable=True, internal=True, examples=({"workflow": "invoice", "input": {}},))
def run_workflow(task: DurableServiceContext, payload: RunWorkflow) -> dict[str, Any]:
    """Start a run of a workflow and wait for its end; steps of workflows are such tasks.

    A run that does not complete has compensated what it did, as its own definition says, and fails the step.
    """
    run_id = UUID(task.once("run", lambda: str(task.runs.new_id())))
    task.once("start", lambda: task.runs.start(run_id, payload.workflow, payload.input))
    while (ended := task.runs.ended(run_id)) is None:
        task.wait_for(f"run:{run_id}")
    if ended.status != "COMPLETED":
        raise PermanentError(f"run {run_id} of {payload.workflow} is {ended.status}: {ended.reason or 'no reason'}")
    return {"run_id": str(run_id), "results": ended.results}
