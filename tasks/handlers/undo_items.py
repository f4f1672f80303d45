"""undo_items: take back what the items of a step with `for_each` have done."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskledger_sdk import rule, task_type
from taskledger_sdk.durable import child
from taskledger_sdk.workflows.control import UNDO_ITEMS
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class UndoItems:
    """Of which step of which run; why is for people."""

    run_id: UUID
    step: str
    reason: str = rule(default="")


@task_type(
    UNDO_ITEMS,
    durable=True,
    internal=True,
    examples=({"run_id": "018f3c5e-7d2a-7000-8000-0123456789ab", "step": "ship"},),
)
def undo_items(task: DurableServiceContext, payload: UndoItems) -> dict[str, int]:
    """Take back the completed items of a step, one after the other, the last to complete first.

    One that cannot be taken back keeps no other from it; this task then fails, and replayed it goes on with that one.
    """
    # Which items they are is remembered, and not their undos: those of thousands are more than a step keeps.
    items = task.once("items", task.runs.completed_items, payload.run_id, payload.step)
    undos = task.runs.undos(payload.run_id, payload.step, items, payload.reason)
    task.gather([child(each["type"], each["payload"]) for each in undos], step="undo", max_parallel=1)
    return {"undone": len(undos)}
