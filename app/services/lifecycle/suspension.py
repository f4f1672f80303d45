"""Tasks that wait without a worker: suspending them, and waking them. Who does either locks the task's row first.

Whether what is waited for has come is looked at in a statement of its own, after the lock: READ COMMITTED looks again
at a locked row only, not at signals or steps that were committed while the lock was waited for.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json, use_indexes
from app.models import PARKED
from app.services.lifecycle import transitions
from app.services.lifecycle.family import record_ended, release_next
from app.services.lifecycle.outcomes import stopped
from app.services.lifecycle.statements import Claim, LeaseLost, update
from app.services.lifecycle.waits import Waits

_LOCK_HELD = sa.text("SELECT cancel_requested_at FROM tasks WHERE id = :id AND lease = :lease FOR UPDATE")
_SUSPEND = update(
    transitions.SUSPENDED,
    """
    waits_for = CAST(:waits_for AS jsonb), due_at = :due_at, attempt_base = attempt, expires_at = NULL,
    dispatched_at = NULL, error = NULL, error_fingerprint = NULL, reason = :reason
    """,
    "id = :id AND lease = :lease",
)
_WAKE = update(
    transitions.WOKEN,
    "dispatched_at = NULL, due_at = :now, reason = :reason",
    "id = ANY(CAST(:ids AS uuid[])) AND cancel_requested_at IS NULL",
)
# With its checkpoint, which says how far the payload before was.
_FORGET_STEPS = sa.text("DELETE FROM task_steps WHERE task_id = :id")
_REPLACE_PAYLOAD = sa.text("""
    UPDATE tasks
    SET payload = CAST(:payload AS jsonb), schema_hash = :schema_hash
    WHERE id = :id AND status = 'WAITING'
    RETURNING id
""")
_HAS_OPEN_CHILDREN = sa.text("SELECT taskledger.has_open_children(:id)")
_SIGNAL_IS_THERE = sa.text("""
    SELECT EXISTS (
        SELECT FROM signals WHERE target = ANY(CAST(:targets AS uuid[])) AND name = :name AND taken_by IS NULL
    )
""")
_OPEN_STEPS = sa.text("""
    SELECT EXISTS (
        SELECT FROM task_steps
        WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL
            AND (name = ANY(CAST(:names AS text[])) OR (:is_group AND starts_with(name, :prefix)))
    )
""")
# No signal that it waits for can have come: who sends one locks the row, and wakes it.
_WAKE_DUE = sa.text(f"""
    WITH taken AS (
        SELECT id, waits_for ->> 'step' AS step
        FROM tasks
        WHERE due_at <= :now AND due_at >= :since AND {transitions.WOKEN.guard} AND cancel_requested_at IS NULL
        ORDER BY due_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), over AS (
        UPDATE task_steps
        SET state = CASE kind WHEN 'signal' THEN 'FAILED' ELSE 'DONE' END,
            error = CASE kind WHEN 'signal' THEN jsonb_build_object('type', 'WaitTimedOut') END, ended_at = :now
        FROM taken
        WHERE task_steps.task_id = taken.id AND task_steps.name = taken.step AND state = 'BEGUN'
            AND kind IN ('sleep', 'signal')
    )
    UPDATE tasks
    SET status = '{transitions.WOKEN.target}', dispatched_at = NULL, due_at = :now, reason = 'its moment has come'
    FROM taken
    WHERE tasks.id = taken.id
    RETURNING tasks.id
""")


def suspend(session: Session, claim: Claim, waits: Waits, *, now: datetime) -> None:
    """End an attempt well: its task is WAITING, or at once PENDING where nothing is left to wait for.

    A task whose cancellation was requested meanwhile is CANCELLED instead. Raises LeaseLost.
    """
    held = session.execute(_LOCK_HELD, {"id": claim.id, "lease": claim.lease}).first()
    if held is None:
        raise LeaseLost(f"task {claim.id}, attempt {claim.attempt}")
    if held.cancel_requested_at is not None:
        stopped(session, claim, receipt="stopped", now=now)
        return
    values = {
        "id": claim.id,
        "lease": claim.lease,
        "waits_for": to_json(waits.as_json()),
        "due_at": waits.until or PARKED,
        "reason": f"waits for {waits}",
    }
    session.execute(_SUSPEND, values)
    look(session, claim.id, waits, now=now)


def start_over(session: Session, claim: Claim, payload: str, *, schema_hash: str, now: datetime) -> None:
    """End an attempt well, forget the steps of its task, and have it begin anew with a payload (JSON text).

    Raises LeaseLost.
    """
    suspend(session, claim, Waits(step="start over", until=now), now=now)
    values = {"id": claim.id, "payload": payload, "schema_hash": schema_hash}
    if session.scalar(_REPLACE_PAYLOAD, values) is not None:  # it was not cancelled instead
        session.execute(_FORGET_STEPS, {"id": claim.id})
        wake(session, [claim.id], reason="it begins anew", now=now)


def has_open_children(session: Session, task_id: UUID) -> bool:
    """Whether children that a durable handler waits for, or will, have not ended."""
    return bool(session.scalar(_HAS_OPEN_CHILDREN, {"id": task_id}))


def look(session: Session, task_id: UUID, waits: Waits, *, now: datetime) -> bool:
    """Wake a WAITING task, whose row is locked, if what it waits for has come; whether it has.

    Children that have ended are noted, and the next of them released.
    """
    if waits.children is not None:
        record_ended(session, task_id, now=now)
        if waits.is_group:
            release_next(session, task_id, waits, now=now)
    if not _is_over(session, task_id, waits):
        return False
    wake(session, [task_id], reason=f"{waits} came", now=now)
    return True


def wake(session: Session, ids: Sequence[UUID], *, reason: str, now: datetime) -> set[UUID]:
    """Wake those that are WAITING, but for those that are being cancelled; returns them. It is no hint: it is due."""
    return set(session.scalars(_WAKE, {"ids": list(ids), "reason": reason, "now": now}))


def wake_due(session: Session, *, since: datetime, now: datetime, limit: int) -> int:
    """Wake tasks whose moment has come, and note with their step that the wait is over; returns how many.

    It is noted because the worker's clock may be some milliseconds behind: the handler would wait once more.
    """
    use_indexes(session, in_order=True)
    return len(session.execute(_WAKE_DUE, {"since": since, "now": now, "limit": limit}).all())


def _is_over(session: Session, task_id: UUID, waits: Waits) -> bool:
    if waits.signal is not None:
        targets = [task_id, *([] if waits.target is None else [waits.target])]
        return bool(session.scalar(_SIGNAL_IS_THERE, {"targets": targets, "name": waits.signal}))
    if waits.children is not None:
        values = {"id": task_id, "names": list(waits.steps), "is_group": waits.is_group, "prefix": f"{waits.step}["}
        return not session.scalar(_OPEN_STEPS, values)
    return False  # a moment: it is due then
