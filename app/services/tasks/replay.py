"""Starting dead letters and cancelled tasks over: one, or all that match a filter after a dry run has counted them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import to_json
from app.errors import Conflict
from app.models import Json, TaskRecord
from app.services import lifecycle
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.encryption import sealing
from app.services.lifecycle.transitions import REPLAYED
from app.services.tasks.dead_letters import DeadLetterFilter, ids_batch, types_of
from app.services.tasks.records import check_own, read
from taskledger_sdk.registry import get_type

# In the order of accounts, so that two who take places for several do not wait crosswise.
_OWNERS = sa.text("""
    SELECT owner_id, count(*) AS tasks
    FROM tasks
    WHERE id = ANY(CAST(:ids AS uuid[]))
    GROUP BY owner_id
    ORDER BY owner_id
""")


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
    allowance: Allowance = ANYTHING,
) -> TaskRecord:
    """Start one task over.

    Raises NotFound, Conflict, PayloadRefused, TypeNotAllowed, or QuotaReached: a dead letter does not wait, so it needs
    a place again.
    """
    task = read(session, task_id, owner=owner)
    check_own(task, "replayed")
    if task.status in REPLAYED.sources:
        allowance.check_types([task.type])
        allowance.room_of(task.owner_id)(1)
    if edited is not None:
        get_type(task.type).payload.load(edited.payload)
        if get_type(task.type).sensitive:
            edited = Edited(payload=sealing.sealed(edited.payload, task_id, "payload", keys=payload_keys))
    text = None if edited is None else to_json(edited.payload)
    if not lifecycle.replay(session, [task_id], now=now, payload=text, max_retries=max_retries):
        task = read(session, task_id, owner=owner)
        raise Conflict(f"The task is {task.status}; only a task that is FAILED or CANCELLED can be replayed.")
    return read(session, task_id, owner=owner)


def replay_batch(
    session: Session, criteria: DeadLetterFilter, *, now: datetime, allowance: Allowance = ANYTHING
) -> int:
    """Start the next few hundred over; returns how many, 0 when all are done. A transaction for each batch.

    Raises TypeNotAllowed or QuotaReached; then none of them starts over.
    """
    ids = ids_batch(session, criteria)
    if not ids:
        return 0
    check_all(session, criteria, allowance=allowance)
    owners = session.execute(_OWNERS, {"ids": ids}).all()
    for row in owners:
        allowance.room_of(row.owner_id)(row.tasks)
    return len(lifecycle.replay(session, ids, now=now))


def check_all(session: Session, criteria: DeadLetterFilter, *, allowance: Allowance) -> None:
    """Raises TypeNotAllowed when a dead letter that matches is of a type that may not be used."""
    if allowance.rights:
        allowance.check_types(types_of(session, criteria))
