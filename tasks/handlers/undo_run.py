"""undo_run: take back what a run did that was a step of another one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskledger_sdk import PermanentError, rule, task_type
from taskledger_sdk.workflows.control import UNDO_RUN
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class UndoRun:
    """The task that waited for the run; why is for people."""

    task_id: UUID
    reason: str = rule(default="")


@task_type(UNDO_RUN, durable=True, internal=True, examples=({"task_id": "018f3c5e-7d2a-7000-8000-0123456789ab"},))
def undo_run(task: DurableServiceContext, payload: UndoRun) -> dict[str, str | None]:
    """Let a run take back what it did, as its own definition says, and wait until it has."""
    run_id = task.runs.of_task(payload.task_id)
    if run_id is None:
        return {"run_id": None}
    while (status := task.runs.compensate(run_id, payload.reason)) not in ("COMPENSATED", "COMPENSATION_FAILED"):
        task.wait_for(f"run:{run_id}")
    if status == "COMPENSATION_FAILED":
        raise PermanentError(f"run {run_id} could not be undone: it needs a person, POST /runs/{run_id}/compensate")
    return {"run_id": str(run_id)}
