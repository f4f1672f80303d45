"""How a new row begins: on its way to the broker, left to the dispatcher, or waiting for its start."""

from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from app.models import Status, TaskRecord
from app.services.lifecycle.statements import LOOK_AGAIN


class Beginning(NamedTuple):
    """The columns of a new row that belong to its life cycle."""

    status: str
    due_at: datetime
    dispatched_at: datetime | None


def beginning(scheduled_at: datetime | None, *, now: datetime) -> Beginning:
    """PENDING with a hint that goes out after the commit, or SCHEDULED for a later moment. Pure."""
    if scheduled_at is not None and scheduled_at > now:
        return Beginning(Status.SCHEDULED.value, scheduled_at, None)
    return Beginning(Status.PENDING.value, now + LOOK_AGAIN, now)


def left_to_dispatcher(draft: TaskRecord) -> TaskRecord:
    """The draft without a hint: the dispatcher publishes one in one of its next looks. Pure."""
    return draft if draft.dispatched_at is None else replace(draft, due_at=draft.dispatched_at, dispatched_at=None)
