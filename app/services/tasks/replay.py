"""Starting dead letters and cancelled tasks over: one, or all that match a filter after a dry run has counted them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.errors import Conflict, Refused
from app.models import Json, TaskRecord
from app.services import lifecycle
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.encryption import ciphertexts
from app.services.lifecycle.transitions import REPLAYED
from app.services.tasks import checkpoints, remembered
from app.services.tasks.dead_letters import DeadLetterFilter, ids_batch, types_of
from app.services.tasks.records import check_own, read
from taskledger_sdk.registry import get_type

UNDO_STEP = "#undo"  # the step of the task that undoes its parent

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
    payload_keys: ciphertexts.Keys = (),
    allowance: Allowance = ANYTHING,
    fresh: bool = False,
) -> TaskRecord:
    """Start one task over. What a durable handler has behind it is remembered, unless it starts `fresh`.

    Raises NotFound, Conflict, PayloadRefused, TypeNotAllowed, QuotaReached (a dead letter does not wait, so it needs a
    place again), or Refused for another payload where steps are remembered.
    """
    task = read(session, task_id, owner=owner)
    check_own(task, "replayed")
    _check_durable(session, task)
    if task.status in REPLAYED.sources:
        allowance.check_types([task.type])
        allowance.room_of(task.owner_id)(1)
    text, schema_hash = None, None
    if edited is not None and not fresh and remembered.has_any(session, task_id):
        message = "must be true with another payload: what the task remembers was done for the old one"
        raise Refused({"fresh": [message]})
    if edited is not None:
        kind = get_type(task.type)
        kind.payload.load(edited.payload)
        payload: Json = edited.payload
        if kind.sensitive:
            payload = ciphertexts.encrypted(payload, task_id, "payload", keys=payload_keys)
        text, schema_hash = to_json(payload), kind.schema_hash
    if not lifecycle.replay(
        session, [task_id], now=now, payload=text, schema_hash=schema_hash, max_retries=max_retries, fresh=fresh
    ):
        task = read(session, task_id, owner=owner)
        raise Conflict(f"The task is {task.status}; only a task that is FAILED or CANCELLED can be replayed.")
    if edited is not None:
        checkpoints.forget(session, [task_id])  # it says how far another payload was
    return read(session, task_id, owner=owner)


_IN_THE_WAY = sa.text("""
    SELECT
        (SELECT parent.id FROM tasks AS parent WHERE parent.id = :parent_id AND parent.status <> 'COMPLETED') AS parent,
        (
            SELECT undo.id
            FROM task_steps JOIN tasks AS undo ON undo.id = task_steps.child_id
            WHERE task_steps.task_id = :id AND task_steps.name = '#undo' AND undo.finished_at IS NULL
        ) AS undo,
        (
            SELECT undo.id
            FROM task_steps AS step
            JOIN task_steps AS undone ON undone.task_id = step.child_id AND undone.name = '#undo'
            JOIN tasks AS undo ON undo.id = undone.child_id
            WHERE step.task_id = :id AND undo.finished_at IS NULL
            LIMIT 1
        ) AS undo_of_child
""")


def _check_durable(session: Session, task: TaskRecord) -> None:
    """Raises Conflict for a child that a durable handler waits for, and while what a task has done is being undone."""
    if task.status not in REPLAYED.sources:
        return
    row = session.execute(_IN_THE_WAY, {"id": task.id, "parent_id": task.parent_id}).one()
    if row.undo is not None:
        raise Conflict(f"What the task has done is being undone by task {row.undo}; replay it when that has ended.")
    if row.undo_of_child is not None:
        raise Conflict(
            f"What a child of the task has done is being undone by task {row.undo_of_child}, and would be started over "
            "with the task; replay it when that has ended."
        )
    if row.parent is not None and task.step is not None and task.step != UNDO_STEP:
        raise Conflict(f"The task is step {task.step} of task {row.parent}; it is replayed with that only.")


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
