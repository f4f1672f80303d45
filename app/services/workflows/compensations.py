"""Compensating a run: its completed steps one by one, the last to complete first, each by a task of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session
from app.models import CompensationStatus, RunRecord, Status, StepRecord, StepState, TaskRecord
from app.services.submission import store
from app.services.tasks import compensation
from app.services.workflows import run_statements, steps, transitions
from app.services.workflows.drafts import draft_task
from app.services.workflows.rendering import lookup_of, references
from app.services.workflows.versions import accepted_under
from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.registry import get_type
from taskledger_sdk.workflows import Definition, Step
from taskledger_sdk.workflows.control import SUB_WORKFLOW, UNDO_ITEMS, UNDO_RUN
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.templates import bounded, render

MAX_REASON = 500  # as the compensation's payload takes it
# Somebody asked to compensate the step's task by itself before: the run waits for that task as for one of its own.
_ADOPT = sa.text("""
    UPDATE tasks
    SET run_id = :run_id, step = :step
    WHERE id = :id AND finished_at IS NULL AND run_id IS NULL
    RETURNING id
""")


def advance(session: Session, run: RunRecord, definition: Definition, *, now: datetime) -> RunRecord:
    """Take in compensations that have ended, and begin the next one; ends the run when none is left."""
    for row in steps.compensations_ended(session, run.id):
        if row["status"] != Status.COMPLETED:
            return _fail(session, run, row["key"], _why(row), now=now)
        if row["task_id"] is not None:
            compensation.complete(session, row["task_id"], by=row["compensation_id"], now=now)
        steps.note_compensation(session, run.id, [row["key"]], CompensationStatus.DONE)
    while True:
        current = steps.read(session, run.id)
        if any(each.compensation_status == CompensationStatus.STARTED for each in current.values()):
            return run
        left = [each for each in current.values() if each.compensation_status is None and _is_done(definition, each)]
        if not left:
            moved = run_statements.move(session, run, transitions.COMPENSATED, reason=run.reason, now=now)
            return moved or run
        last = max(left, key=lambda each: each.completion_order or 0)
        try:
            _begin(session, run, definition.steps[last.key], last, current, now)
        except (StepRefused, UnknownTaskType) as error:
            return _fail(session, run, last.key, str(error), now=now)


def _is_done(definition: Definition, record: StepRecord) -> bool:
    """Whether there may be something to take back: of items and other runs also where the step went badly."""
    if record.state == StepState.COMPLETED:
        return True
    is_bad = record.state in (StepState.FAILED, StepState.CANCELLED)
    return is_bad and record.task_id is not None and definition.steps[record.key].takes_back_itself


def _begin(
    session: Session, run: RunRecord, step: Step, record: StepRecord, current: Mapping[str, StepRecord], now: datetime
) -> None:
    """Compensate one step, or note that there is nothing to compensate or that it is done. Raises StepRefused."""

    def note(status: CompensationStatus, by: UUID | None = None) -> None:
        steps.note_compensation(session, run.id, [step.key], status, by=by)

    if record.task_id is None or not _is_compensable(step):
        note(CompensationStatus.NOTHING)
        return
    other = compensation.standing(session, record.task_id)
    if other is not None and other.is_done:
        note(CompensationStatus.DONE, other.compensation_id)
        return
    if other is not None and other.stands:
        adopted = {"run_id": run.id, "step": step.key, "id": other.compensation_id}
        if session.scalar(_ADOPT, adopted) is not None:
            note(CompensationStatus.STARTED, other.compensation_id)
            return
    draft = _draft(session, run, step, record.task_id, current, now)
    store(session, [draft])
    compensation.assign(session, record.task_id, by=draft.id, now=now)
    note(CompensationStatus.STARTED, draft.id)


def _is_compensable(step: Step) -> bool:
    if step.compensate_with is not None or step.takes_back_itself:
        return True
    try:
        return get_type(step.type).compensable
    except UnknownTaskType as error:
        raise StepRefused(f"step {step.key} cannot be undone: {error}") from None


def _draft(
    session: Session, run: RunRecord, step: Step, task_id: UUID, current: Mapping[str, StepRecord], now: datetime
) -> TaskRecord:
    reason = f"run {run.id}: {run.reason or 'it is undone'}"[:MAX_REASON]
    if step.for_each is not None:
        type_name, payload = UNDO_ITEMS, dict[str, Any](run_id=str(run.id), step=step.key, reason=reason)
    elif step.compensate_with is None:
        type_name = UNDO_RUN if step.type == SUB_WORKFLOW else compensation.COMPENSATION
        payload = {"task_id": str(task_id), "reason": reason}
    else:
        type_name, template = step.compensate_with.type, step.compensate_with.payload
        lookup = lookup_of(session, run, current, references(template))
        payload = render(template, bounded(lookup, get_settings().max_payload_bytes), ("compensate_with",))
    return draft_task(
        run,
        step.key,
        type_name,
        payload,
        now=now,
        name=f"{run.workflow_name}: undo {step.key}",
        accepted_under=lambda kind: accepted_under(session, run.version_id, kind),
    )


def _fail(session: Session, run: RunRecord, key: str, why: str, *, now: datetime) -> RunRecord:
    """It needs a person: what comes before this step is left as it is, because order matters."""
    steps.note_compensation(session, run.id, [key], CompensationStatus.FAILED)
    reason = f"step {key} could not be undone: {why}"[:1000]
    return run_statements.move(session, run, transitions.COMPENSATION_FAILED, reason=reason, now=now) or run


def _why(row: Mapping[str, Any]) -> str:
    if row["status"] is None:
        return "its compensation was deleted"
    if row["status"] == Status.CANCELLED:
        return row["reason"] or "its compensation was cancelled"
    return str((row["error"] or {}).get("message", "unknown"))
