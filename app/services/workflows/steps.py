"""The steps of a run as rows; only read and written by whoever has locked the run."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import CompensationStatus, StepRecord, StepState, WorkflowStep
from app.models.workflow import STEP_COLUMNS
from taskledger_sdk.workflows import Definition

STEPS = WorkflowStep.metadata.tables["workflow_steps"]
_READ = sa.select(*(column.label(name) for name, column in STEP_COLUMNS.items())).order_by(STEPS.c.position)

# A task that is gone (deleted by hand) has ended, too: nothing else will be heard of it.
_ENDED = """
    SELECT step.key, step.task_id, step.compensation_id, task.status, task.error, task.reason, task.finished_at,
        coalesce(task.type = 'wait_for_signal' AND task.result @> '{{"timed_out": true}}', false) AS timed_out
    FROM workflow_steps AS step
    LEFT JOIN tasks AS task ON task.id = step.{column}
    WHERE step.run_id = :run_id AND step.{state} = 'STARTED' AND (task.id IS NULL OR task.finished_at IS NOT NULL)
    ORDER BY task.finished_at, step.position
"""
ENDED = sa.text(_ENDED.format(column="task_id", state="state"))
COMPENSATIONS_ENDED = sa.text(_ENDED.format(column="compensation_id", state="undo_state"))


def insert(session: Session, run_id: UUID, definition: Definition) -> None:
    """All steps of a new run, waiting."""
    rows = [
        {"run_id": run_id, "key": step.key, "position": position, "type": step.type, "state": StepState.WAITING.value}
        for position, step in enumerate(definition.steps.values())
    ]
    session.connection().execute(sa.insert(STEPS), rows)


def read(session: Session, run_id: UUID) -> dict[str, StepRecord]:
    """The steps of a run by key, in their order."""
    rows = session.connection().execute(_READ.where(STEPS.c.run_id == run_id)).mappings()
    return {row["key"]: StepRecord(**row) for row in rows}


def ended(session: Session, run_id: UUID) -> list[Mapping[str, Any]]:
    """Steps that are STARTED although their task has ended, in the order in which these did."""
    return [dict(row) for row in session.execute(ENDED, {"run_id": run_id}).mappings()]


def compensations_ended(session: Session, run_id: UUID) -> list[Mapping[str, Any]]:
    """Steps whose compensation has ended."""
    return [dict(row) for row in session.execute(COMPENSATIONS_ENDED, {"run_id": run_id}).mappings()]


def started(session: Session, run_id: UUID, tasks: Mapping[str, UUID], *, now: datetime) -> None:
    """Their tasks are submitted."""
    if tasks:
        session.execute(
            sa.text("""
                UPDATE workflow_steps AS step
                SET state = 'STARTED', task_id = given.task_id, started_at = :now
                FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[])) AS given (key, task_id)
                WHERE step.run_id = :run_id AND step.key = given.key
            """),
            {"run_id": run_id, "keys": list(tasks), "ids": list(tasks.values()), "now": now},
        )


def end(
    session: Session, run_id: UUID, key: str, state: StepState, *, number: int, error: Any = None, at: datetime
) -> None:
    """One has ended; `number` counts those of its run that have, from 1."""
    _write(session, run_id, [key], state=state.value, completion_order=number, error=error, ended_at=at)


def skip(session: Session, run_id: UUID, keys: Collection[str], *, now: datetime) -> None:
    """These will not run."""
    if keys:
        _write(session, run_id, keys, state=StepState.SKIPPED.value, ended_at=now)


def start_over(session: Session, run_id: UUID, keys: Collection[str], *, with_task: bool) -> None:
    """These have failed, and are under way again, with the same task or (waiting) with none yet."""
    if keys:
        cleared: dict[str, Any] = {"completion_order": None, "error": None, "ended_at": None}
        state = StepState.STARTED if with_task else StepState.WAITING
        _write(session, run_id, keys, state=state.value, **cleared, **({} if with_task else {"task_id": None}))


def note_compensation(
    session: Session, run_id: UUID, keys: Sequence[str], status: CompensationStatus | None, *, by: UUID | None = None
) -> None:
    """How far the compensation of these is, and by which task; without `by`, that stays as it is."""
    if keys:
        task = {} if by is None else {"compensation_id": by}
        _write(session, run_id, keys, compensation_status=status and status.value, **task)


def _write(session: Session, run_id: UUID, keys: Collection[str], **values: Any) -> None:
    chosen = sa.update(STEPS).where(STEPS.c.run_id == run_id, STEPS.c.key.in_(list(keys)))
    session.connection().execute(chosen.values({STEP_COLUMNS[name]: value for name, value in values.items()}))
