"""Starting dead letters and cancelled tasks over: one, or all that match a filter after a dry run has counted them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.database import to_json
from app.errors import Conflict
from app.models import Json, TaskRecord
from app.services import lifecycle, sealing
from app.services.dead_letters import DeadLetterFilter, ids_batch
from app.services.tasks import check_own, read
from tasks.registry import get_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """A payload that replaces the task's own; None inside is a payload, too, hence the wrapper."""

    payload: Json


def replay(
    session: Session,
    task_id: UUID,
    *,
    owner: UUID | None,
    now: datetime,
    edited: Edited | None = None,
    max_retries: int | None = None,
    payload_keys: sealing.Keys = (),
) -> TaskRecord:
    """Start one task over, or run one that waits for its retry at once. Raises NotFound, Conflict or PayloadRefused."""
    task = read(session, task_id, owner=owner)
    check_own(task, "replayed")
    if edited is not None:
        get_type(task.type).payload.load(edited.payload)
        if get_type(task.type).sensitive:
            edited = Edited(payload=sealing.sealed(edited.payload, task_id, "payload", keys=payload_keys))
    text = None if edited is None else to_json(edited.payload)
    if not lifecycle.replay(session, [task_id], now=now, payload=text, max_retries=max_retries):
        task = read(session, task_id, owner=owner)
        raise Conflict(f"The task is {task.status}; only a task that is FAILED or CANCELLED can be replayed.")
    return read(session, task_id, owner=owner)


def replay_batch(session: Session, wanted: DeadLetterFilter, *, now: datetime) -> int:
    """Start the next few hundred over; returns how many, 0 when all are done. A transaction for each batch."""
    ids = ids_batch(session, wanted)
    return len(lifecycle.replay(session, ids, now=now)) if ids else 0
