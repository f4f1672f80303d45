"""compensation: undo a completed task, the way its type says."""

import inspect
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marshmallow.validate import Length

from taskledger_sdk import PermanentError, rule, task_type
from taskledger_sdk.registry import get_type
from tasks.context import ServiceContext


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """What is undone, and why."""

    task_id: UUID = rule(description="A COMPLETED task whose type is compensable")
    reason: str = rule(Length(max=500), default="", description="For people: kept in the result, printed where it fits")


@task_type(
    "compensation",
    examples=({"task_id": "018f3c5e-7d2a-7000-8000-0123456789ab", "reason": "The order was placed by mistake"},),
)
def compensation(task: ServiceContext, payload: Compensation) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Undo a completed task: cancel the invoice it issued, delete the file it made.

    Usually submitted by POST /tasks/{id}/compensate. A task is undone once, however often that is asked for: a second
    compensation returns the id of the first one in `undone_by`.
    """
    found = task.ledger.begin_compensation(payload.task_id)
    if isinstance(found, UUID):
        return {"task_id": str(payload.task_id), "undone_by": str(found), "undone": None}
    kind = get_type(found.type)
    if kind.undo is None:
        raise PermanentError(f"a {found.type} cannot be undone: its type declares no undo")
    task.progress(0.1, f"undoing {found.type} {found.id}")
    undone = kind.undo(task.with_settings_of(kind.name), kind.load(found.payload, found.schema_hash), found.result)
    said = {"task_id": str(found.id), "type": kind.name, "reason": payload.reason}
    return _awaited(said, undone) if inspect.iscoroutine(undone) else {**said, "undone": undone}


async def _awaited(said: dict[str, Any], undone: Awaitable[Any]) -> dict[str, Any]:
    """The same for an undo that is a coroutine function: the worker runs what a handler returns of that kind."""
    return {**said, "undone": await undone}
