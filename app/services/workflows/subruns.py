"""Runs that are steps of other runs: started by the task of their step, which waits for their end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session, to_json
from app.errors import Refused
from app.models import RUN_UNFINISHED, RunRecord, RunStatus, StepState
from app.services.accounts import quotas, rights
from app.services.accounts.allowance import Allowance
from app.services.workflows import changing, run_statements, steps
from app.services.workflows.changing import NewRun
from app.services.workflows.definitions import Caller, read, types_of
from app.services.workflows.versions import definition_of

MAX_DEPTH = 8
MAX_RESULTS = 256 * 1024
_TASK = sa.text("SELECT owner_id, priority, labels FROM tasks WHERE id = :id")
_SET_PARENT = sa.text("UPDATE workflow_runs SET parent_id = :task_id, tells_id = :task_id WHERE id = :id")
_TELL = sa.text("UPDATE workflow_runs SET tells_id = :task_id WHERE id = :id")
_OF_TASK = sa.text("SELECT id FROM workflow_runs WHERE parent_id = :task_id ORDER BY id DESC LIMIT 1")
# The task of a step may be the item of another task, which is the step's.
_DEPTH = sa.text("""
    WITH RECURSIVE above AS (
        SELECT CAST(:task_id AS uuid) AS task_id, 0 AS depth
        UNION ALL
        SELECT coalesce(run.parent_id, task.parent_id), depth + CASE WHEN task.parent_id IS NULL THEN 1 ELSE 0 END
        FROM above
        JOIN tasks AS task ON task.id = above.task_id
        LEFT JOIN workflow_runs AS run ON run.id = task.run_id
        WHERE coalesce(run.parent_id, task.parent_id) IS NOT NULL AND depth <= :most
    )
    SELECT max(depth) FROM above
""")
_RESULTS = sa.text("""
    SELECT step.key, task.result
    FROM workflow_steps AS step
    JOIN tasks AS task ON task.id = step.task_id
    WHERE step.run_id = :run_id AND step.state = 'COMPLETED' AND step.key = ANY(CAST(:keys AS text[]))
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a run has ended."""

    status: str
    reason: str | None
    results: dict[str, Any]


def start(session: Session, run_id: UUID, name: str, given: dict[str, Any], *, task_id: UUID, now: datetime) -> None:
    """Start a run of a workflow for a task, unless there is one with this id, with the rights that its owner has now.

    Raises NotFound, Conflict, Refused, TypeNotAllowed or QuotaReached.
    """
    if run_statements.lock(session, [run_id]):
        return
    task, settings = session.execute(_TASK, {"id": task_id}).one(), get_settings()
    if (session.scalar(_DEPTH, {"task_id": task_id, "most": MAX_DEPTH}) or 0) >= MAX_DEPTH:
        raise Refused({"workflow": [f"{MAX_DEPTH} runs stand above it, each a step of the one before: no more may"]})
    workflow = read(session, name, caller=Caller(owner_id=task.owner_id), now=now)
    room_of = quotas.rooms(session, default=settings.max_waiting_tasks)
    allowance = Allowance(rights=rights.of_account(session, task.owner_id, settings=settings), room_of=room_of)
    allowance.check_types(types_of(definition_of(session, workflow.version_id)))
    allowance.room_of(task.owner_id)(changing.places_of(session, workflow))
    new = NewRun(input=given, priority=task.priority, labels=task.labels)
    changing.start(session, workflow, new, owner_id=task.owner_id, now=now, run_id=run_id)
    session.execute(_SET_PARENT, {"id": run_id, "task_id": task_id})


def ended(session: Session, run_id: UUID) -> Ended | None:
    """How a run has ended; None while it has not. Raises Refused for results that are too large for a step's.

    A run that is gone counts as deleted.
    """
    runs = run_statements.lock(session, [run_id])
    if not runs:
        return Ended(status="DELETED", reason="it was deleted", results={})
    run = runs[0]
    if not run.is_finished:
        return None
    results = _results(session, run) if run.status == RunStatus.COMPLETED else {}
    return Ended(status=run.status, reason=run.reason, results=results)


def of_task(session: Session, task_id: UUID) -> UUID | None:
    """The run that a task has started, the newest; None where there is none."""
    found: UUID | None = session.scalar(_OF_TASK, {"task_id": task_id})
    return found


def compensate(session: Session, run_id: UUID, *, task_id: UUID, reason: str, now: datetime) -> str:
    """Let a run take back what it did; the status that it has then. From now on `task_id` hears of its end.

    One that is under way is cancelled first.
    """
    runs = run_statements.lock(session, [run_id])
    if not runs:
        return RunStatus.COMPENSATED.value
    session.execute(_TELL, {"id": run_id, "task_id": task_id})
    run = runs[0]
    if run.status in (RunStatus.RUNNING, RunStatus.PAUSED):
        run = changing.cancel(session, run_id, visible_to=None, now=now)
    if run.status not in (*RUN_UNFINISHED, RunStatus.COMPENSATED, RunStatus.COMPENSATION_FAILED):
        run = changing.compensate(session, run_id, visible_to=None, reason=reason, now=now)
    return run.status


def _results(session: Session, run: RunRecord) -> dict[str, Any]:
    definition = definition_of(session, run.version_id)
    last = [key for key, followers in definition.dependants.items() if not followers]
    current = steps.read(session, run.id)
    keys = [key for key in last if current[key].state == StepState.COMPLETED]
    results = {row.key: row.result for row in session.execute(_RESULTS, {"run_id": run.id, "keys": keys})}
    size = len(to_json(results).encode())
    if size > MAX_RESULTS:
        raise Refused({"results": [f"the last steps returned {size} bytes; a step keeps {MAX_RESULTS}"]})
    return results
