"""Undoing a run: its completed steps one by one, the last to complete first, each by a task of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.config import get_settings
from app.models import RunRecord, Status, StepRecord, StepState, TaskRecord, UndoState
from app.services.submission import store
from app.services.tasks import compensation
from app.services.workflows import run_statements, steps, transitions
from app.services.workflows.drafts import draft_task
from app.services.workflows.rendering import lookup_of, references
from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.registry import get_type
from taskledger_sdk.workflows import Definition, Step
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.templates import bounded, render

MAX_REASON = 500  # as the compensation's payload takes it
# Somebody asked to undo the step's task by itself before: the run waits for that task as for one of its own.
_ADOPT = sa.text("""
    UPDATE tasks
    SET run_id = :run_id, step = :step
    WHERE id = :id AND finished_at IS NULL AND run_id IS NULL
    RETURNING id
""")


def go_on(session: Session, run: RunRecord, definition: Definition, *, now: datetime) -> RunRecord:
    """Take in compensations that have ended, and begin the next one; ends the run when none is left."""
    for row in steps.undoing_ended(session, run.id):
        if row["status"] != Status.COMPLETED:
            return _not_undone(session, run, row["key"], _why(row), now=now)
        if definition.steps[row["key"]].compensate_with is not None and row["task_id"] is not None:
            compensation.done(session, row["task_id"], by=row["compensation_id"], now=now)
        steps.undo(session, run.id, [row["key"]], UndoState.DONE)
    while True:
        current = steps.read(session, run.id)
        if any(each.undo_state == UndoState.STARTED for each in current.values()):
            return run
        to_undo = [each for each in current.values() if each.state == StepState.COMPLETED and each.undo_state is None]
        if not to_undo:
            moved = run_statements.move(session, run, transitions.UNDONE, reason=run.reason, now=now)
            return moved or run
        last = max(to_undo, key=lambda each: each.completion_order or 0)
        try:
            _begin(session, run, definition.steps[last.key], last, current, now)
        except (StepRefused, UnknownTaskType) as error:
            return _not_undone(session, run, last.key, str(error), now=now)


def _begin(
    session: Session, run: RunRecord, step: Step, record: StepRecord, current: Mapping[str, StepRecord], now: datetime
) -> None:
    """Undo one step, or note that there is nothing to undo or that it is undone. Raises StepRefused."""
    if record.task_id is None or not _is_undoable(step):
        steps.undo(session, run.id, [step.key], UndoState.NOTHING)
        return
    undoing = compensation.standing(session, record.task_id)
    if undoing is not None and undoing.is_done:
        steps.undo(session, run.id, [step.key], UndoState.DONE, compensation_id=undoing.compensation_id)
        return
    if undoing is not None and undoing.stands:
        adopted = {"run_id": run.id, "step": step.key, "id": undoing.compensation_id}
        if session.scalar(_ADOPT, adopted) is not None:
            steps.undo(session, run.id, [step.key], UndoState.STARTED, compensation_id=undoing.compensation_id)
            return
    made = _drafted(session, run, step, record.task_id, current, now)
    store(session, [made])
    compensation.take(session, record.task_id, by=made.id, now=now)
    steps.undo(session, run.id, [step.key], UndoState.STARTED, compensation_id=made.id)


def _is_undoable(step: Step) -> bool:
    if step.compensate_with is not None:
        return True
    try:
        return get_type(step.type).compensable
    except UnknownTaskType as error:
        raise StepRefused(f"step {step.key} cannot be undone: {error}") from None


def _drafted(
    session: Session, run: RunRecord, step: Step, task_id: UUID, current: Mapping[str, StepRecord], now: datetime
) -> TaskRecord:
    if step.compensate_with is None:
        kind = compensation.COMPENSATION
        reason = f"run {run.id}: {run.reason or 'it is undone'}"
        payload: Any = {"task_id": str(task_id), "reason": reason[:MAX_REASON]}
    else:
        kind, template = step.compensate_with.type, step.compensate_with.payload
        lookup = lookup_of(session, run, current, references(template))
        payload = render(template, bounded(lookup, get_settings().max_payload_bytes), ("compensate_with",))
    return draft_task(run, step.key, kind, payload, now=now, name=f"{run.workflow_name}: undo {step.key}")


def _not_undone(session: Session, run: RunRecord, key: str, why: str, *, now: datetime) -> RunRecord:
    """It needs a person: what comes before this step is left as it is, because order matters."""
    steps.undo(session, run.id, [key], UndoState.FAILED)
    reason = f"step {key} could not be undone: {why}"[:1000]
    return run_statements.move(session, run, transitions.NOT_UNDONE, reason=reason, now=now) or run


def _why(row: Mapping[str, Any]) -> str:
    if row["status"] is None:
        return "its compensation was deleted"
    if row["status"] == Status.CANCELLED:
        return row["reason"] or "its compensation was cancelled"
    return str((row["error"] or {}).get("message", "unknown"))
