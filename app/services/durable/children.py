"""Children that a durable handler waits for: submitting them with their step, and how they have ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace

from app.database import Session, from_json, to_json
from app.models import PARKED, Status, TaskRecord
from app.services import submission
from app.services.durable import steps
from app.services.lifecycle import Claim, beginning, family

MAX_RESULT_BYTES = 64 * 1024 * 1024
"""Results of one group that are read into a worker's memory; larger ones are handed on as artifacts."""

_STEP = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, digest, child_id, released_at, undo)
    VALUES (:id, :name, :seq, 'call', 'BEGUN', :digest, :child_id, :now, CAST(:undo AS jsonb))
    ON CONFLICT (task_id, name) DO NOTHING
    RETURNING child_id
""")
_CHILD_OF = sa.text("SELECT child_id FROM task_steps WHERE task_id = :id AND name = :name")
_GROUP = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, digest)
    VALUES (:id, :name, :seq, 'gather', 'BEGUN', :digest)
    ON CONFLICT (task_id, name) DO NOTHING
    RETURNING name
""")
_ITEMS = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, child_id, released_at)
    SELECT :id, :name || '[' || number - 1 || ']', :seq + number, 'call', 'BEGUN', child_id,
        CASE WHEN number <= :released THEN CAST(:now AS timestamptz) END
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS item (child_id, number)
""")
_REMEMBER = sa.text("""
    INSERT INTO task_children (parent_id, child_id, type)
    SELECT :id, child.id, child.type
    FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[])) AS child (id, type)
""")
_ENDED = """
    SELECT s.name, s.state, s.error, s.child_id, s.ended_at IS NOT NULL AS has_ended,
        s.released_at IS NOT NULL AS is_released, child.type,
        CASE WHEN :with_results THEN child.result::text END AS text
    FROM task_steps AS s LEFT JOIN tasks AS child ON child.id = s.child_id
    WHERE s.task_id = :id AND {which}
    ORDER BY s.seq
"""
_ENDED_ONE = sa.text(_ENDED.format(which="s.name = :name"))
_ENDED_GROUP = sa.text(_ENDED.format(which="s.child_id IS NOT NULL AND starts_with(s.name, :prefix)"))
_GROUP_STATE = sa.text("""
    SELECT count(*) FILTER (WHERE s.ended_at IS NULL) AS open, sum(pg_column_size(child.result)) AS bytes
    FROM task_steps AS s LEFT JOIN tasks AS child ON child.id = s.child_id
    WHERE s.task_id = :id AND s.child_id IS NOT NULL AND starts_with(s.name, :prefix)
""")


class TooLarge(Exception):
    """The results of a group have more than MAX_RESULT_BYTES together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a child has ended; `result` as its row has it, `error` (type and message) where it did not complete."""

    child_id: UUID
    type: str
    result: Any
    error: dict[str, Any] | None


def submit(
    session: Session, claim: Claim, name: str, seq: int, *, digest: str, child: TaskRecord, undo: Any, now: datetime
) -> UUID:
    """Submit the child of a step, unless it has one; the id of the one that it has. Raises LeaseLost.

    Room in a quota is for the caller to take, in this transaction.
    """
    steps.fence(session, claim)
    values = {"id": claim.id, "name": name, "seq": seq, "digest": digest, "child_id": child.id, "now": now}
    if session.scalar(_STEP, {**values, "undo": None if undo is None else to_json(undo)}) is None:
        known: UUID = session.execute(_CHILD_OF, {"id": claim.id, "name": name}).scalar_one()
        return known
    _remember(session, claim, [child])
    submission.store(session, [_starting(replace(child, step=name), now)])
    return child.id


def submit_group(
    session: Session,
    claim: Claim,
    name: str,
    seq: int,
    *,
    digest: str,
    children: Sequence[TaskRecord],
    max_parallel: int | None,
    now: datetime,
) -> bool:
    """Submit the children of a group, unless it has them; the first may start, the others are parked.

    Returns whether they are new. Raises LeaseLost.
    """
    steps.fence(session, claim)
    if session.scalar(_GROUP, {"id": claim.id, "name": name, "seq": seq, "digest": digest}) is None:
        return False
    released = len(children) if max_parallel is None else max_parallel
    values = {"id": claim.id, "name": name, "seq": seq, "released": released, "now": now}
    session.execute(_ITEMS, {**values, "ids": [child.id for child in children]})
    _remember(session, claim, children)
    named = [replace(child, step=f"{name}[{number}]") for number, child in enumerate(children)]
    submission.store(session, [_starting(child, now) for child in named[:released]], is_urgent=released <= 100)
    submission.store(session, [_parked(child, now) for child in named[released:]])
    return True


def outcome(session: Session, claim: Claim, name: str, *, now: datetime) -> Ended | None:
    """How the child of a step has ended; None where it has not. One that was not released starts. Raises LeaseLost."""
    steps.fence(session, claim)
    which = {"id": claim.id, "name": name, "with_results": True}
    row = session.execute(_ENDED_ONE, which).mappings().one()
    if not row["has_ended"] and not row["is_released"]:
        family.release_steps(session, claim.id, [name], now=now)
        return None
    if not row["has_ended"]:
        family.record_ended(session, claim.id, now=now)
        row = session.execute(_ENDED_ONE, which).mappings().one()
    return _ended(row) if row["has_ended"] else None


def outcomes(
    session: Session, claim: Claim, name: str, *, now: datetime, with_results: bool = True
) -> list[Ended] | None:
    """How the children of a group have ended, in their order; None where some have not. Raises LeaseLost, TooLarge.

    `with_results`: and what they returned, which is None otherwise.
    """
    steps.fence(session, claim)
    which = {"id": claim.id, "prefix": f"{name}["}
    family.record_ended(session, claim.id, now=now)
    state = session.execute(_GROUP_STATE, which).one()
    if state.open:
        return None
    if with_results and (state.bytes or 0) > MAX_RESULT_BYTES:
        raise TooLarge(f"the results have {state.bytes} bytes; at most {MAX_RESULT_BYTES} are read at once")
    values = {**which, "with_results": with_results}
    return [_ended(row) for row in session.execute(_ENDED_GROUP, values).mappings()]


def _ended(row: sa.RowMapping) -> Ended:
    is_gone = row["type"] is None
    error = row["error"] if row["state"] == "FAILED" else None
    if is_gone and error is None:
        error = {"type": "TaskDeleted", "message": "its row was deleted, and with it what it returned"}
    result = None if row["text"] is None else from_json(row["text"])
    return Ended(child_id=row["child_id"], type=row["type"] or "deleted", result=result, error=error)


def _remember(session: Session, claim: Claim, children: Sequence[TaskRecord]) -> None:
    values = {"ids": [child.id for child in children], "types": [child.type for child in children]}
    session.execute(_REMEMBER, {"id": claim.id, **values})


def _starting(task: TaskRecord, now: datetime) -> TaskRecord:
    return replace(task, created_at=now, updated_at=now, **beginning(task.scheduled_at, now=now)._asdict())


def _parked(task: TaskRecord, now: datetime) -> TaskRecord:
    """Due when its parent releases it."""
    parked = {"status": Status.SCHEDULED.value, "due_at": PARKED, "dispatched_at": None}
    return replace(task, created_at=now, updated_at=now, **parked)
