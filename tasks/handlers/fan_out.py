"""fan_out: what a step of a workflow is that runs once for each item of a list."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskledger_sdk import task_type
from taskledger_sdk.workflows.control import FAN_OUT
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class FanOut:
    """Which step of which run; its definition and the run say what the items are."""

    run_id: UUID
    step: str


@task_type(
    FAN_OUT,
    durable=True,
    internal=True,
    examples=({"run_id": "018f3c5e-7d2a-7000-8000-0123456789ab", "step": "ship"},),
)
def fan_out(task: DurableServiceContext, payload: FanOut) -> dict[str, int]:
    """Run a task for each item of a list, so many at a time, and wait for all; steps with `for_each` are such tasks.

    Its children are the items, in their order; what they return stays with them.
    """
    items, max_parallel = task.runs.items(payload.run_id, payload.step)
    task.gather(items, step="item", max_parallel=max_parallel)
    return {"items": len(items)}
