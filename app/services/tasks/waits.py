"""What a task that is WAITING waits for, read off its row. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from app.models import Status, TaskRecord
from app.services import lifecycle

Kind = Literal["signal", "children", "moment"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """One wait; `name` is that of the signal, None where it waits for something else.

    `target`: the run that the signal is sent to, None for the task itself.
    """

    kind: Kind
    step: str
    """What the handler calls it."""
    name: str | None
    target: UUID | None
    since: datetime
    until: datetime | None
    """When it ends by itself; None: never."""
    schema: Mapping[str, Any] | None
    """JSON Schema of the data that the signal is to have."""
    never_asked_for: tuple[str, ...]
    """Steps that are remembered, and that the handler has not come to since it began again from its top."""


def of(task: TaskRecord) -> Wait | None:
    """The wait of a task; None where it is not WAITING."""
    if task.status != Status.WAITING or task.waits_for is None:
        return None
    said = lifecycle.Waits.of(task.waits_for)
    return Wait(
        kind="signal" if said.signal is not None else "children" if said.children is not None else "moment",
        step=said.step,
        name=said.signal,
        target=said.target,
        since=task.updated_at,
        until=said.until,
        schema=said.schema,
        never_asked_for=said.never_asked_for,
    )
