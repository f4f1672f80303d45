"""undo: take back what a durable task has done, the last step first."""

from dataclasses import dataclass
from uuid import UUID

from taskledger_sdk import rule, task_type
from taskledger_sdk.durable.undoing import rendered
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class Undo:
    """Of which task."""

    task_id: UUID = rule(description="A durable task that is FAILED or CANCELLED")


@task_type(
    "undo",
    durable=True,
    internal=True,
    on_failure="stop",
    examples=({"task_id": "018f3c5e-7d2a-7000-8000-0123456789ab"},),
)
def undo(task: DurableServiceContext, payload: Undo) -> dict[str, list[str]]:
    """Take back the steps of a durable task that have an undo, one after the other, the last first.

    The service submits it when such a task has failed or was cancelled. Where a step cannot be taken back it fails, and
    leaves what comes before that step as it is, because order matters; replayed, it goes on there.
    """
    undone: list[str] = []
    for step in task.durable_tasks.to_undo(payload.task_id):
        # A name of its own: what was undone is missing in the next run of this handler, which must not shift the rest.
        name = step.name.replace("#", "~")[-100:]
        task.call(step.type, rendered(step.payload, step.result), step=name).result()
        task.durable_tasks.note_undone(payload.task_id, step.name)
        undone.append(step.name)
    return {"undone": undone}
