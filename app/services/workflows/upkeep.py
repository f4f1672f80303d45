"""What the dispatcher does for runs: advance those whose tasks ended elsewhere, and delete old ones."""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import RunStatus, Status
from app.services.retention import Ages
from app.services.workflows import advancing, changing, run_statements

_WOKEN = sa.text("SELECT DISTINCT run_id FROM workflow_news WHERE run_id IS NOT NULL LIMIT :limit")
# Without a wake-up, and yet nothing is under way: a task was deleted by hand, say.
_STUCK = sa.text("""
    SELECT run.id
    FROM workflow_runs AS run
    WHERE (run.status IN ('COMPENSATING', 'RUNNING') OR (run.status = 'PAUSED' AND run.ending IS NOT NULL))
        AND run.updated_at < :before
        AND NOT EXISTS (
            SELECT FROM workflow_steps AS step
            JOIN tasks AS task ON task.id IN (step.task_id, step.compensation_id)
            WHERE step.run_id = run.id AND task.finished_at IS NULL
        )
    LIMIT :limit
""")
# Their task has ended without them: it was cancelled, or failed, and nobody waits for them any more.
_ORPHANED = sa.text("""
    SELECT run.id
    FROM workflow_runs AS run
    LEFT JOIN tasks AS parent ON parent.id = run.parent_id
    WHERE run.parent_id IS NOT NULL AND run.status IN ('PAUSED', 'RUNNING') AND run.ending IS NULL
        AND (parent.id IS NULL OR parent.finished_at IS NOT NULL)
    LIMIT :limit
""")
_FORGET_WAKE_UPS = sa.text(
    "DELETE FROM workflow_news WHERE run_id = :run_id AND NOT EXISTS (SELECT FROM workflow_runs WHERE id = :run_id)"
)
_OLD = sa.text("""
    SELECT id, status
    FROM workflow_runs
    WHERE finished_at < :before AND status = ANY(CAST(:statuses AS text[]))
    ORDER BY finished_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
""")
_DELETE_TASKS = sa.text("""
    WITH gone AS (
        SELECT id
        FROM tasks
        WHERE id IN (
            SELECT unnest(ARRAY[task_id, compensation_id])
            FROM workflow_steps
            WHERE run_id = ANY(CAST(:ids AS uuid[]))
        )
        ORDER BY id
        FOR UPDATE
    ), log AS (DELETE FROM task_log USING gone WHERE task_log.task_id = gone.id),
    sent AS (DELETE FROM signals USING gone WHERE signals.target = gone.id)
    DELETE FROM tasks USING gone
    WHERE tasks.id = gone.id
""")
_DELETE_SIGNALS = sa.text("DELETE FROM signals WHERE target = ANY(CAST(:ids AS uuid[]))")
_DELETE_RUNS = sa.text("DELETE FROM workflow_runs WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING version_id")
# Of workflows that are gone, and of runs that brought their definition with them.
_DELETE_VERSIONS = sa.text("""
    DELETE FROM workflow_versions AS version
    WHERE id = ANY(CAST(:ids AS uuid[])) AND workflow_id IS NULL
        AND NOT EXISTS (SELECT FROM workflow_runs WHERE version_id = version.id)
""")
SETTLED = timedelta(seconds=10)
_LIKE = {
    Status.COMPLETED: (RunStatus.COMPLETED, RunStatus.COMPENSATED),
    Status.FAILED: (RunStatus.FAILED, RunStatus.COMPENSATION_FAILED),
    Status.CANCELLED: (RunStatus.CANCELLED,),
}


def woken(session: Session, *, limit: int) -> list[UUID]:
    """Runs of which a task has ended elsewhere, and that have not been advanced since."""
    return list(session.scalars(_WOKEN, {"limit": limit}))


def stuck(session: Session, *, now: datetime, limit: int) -> list[UUID]:
    """Unfinished runs with nothing under way."""
    return list(session.scalars(_STUCK, {"before": now - SETTLED, "limit": limit}))


def orphaned(session: Session, *, limit: int) -> list[UUID]:
    """Runs that were steps of others, and whose task has ended before them."""
    return list(session.scalars(_ORPHANED, {"limit": limit}))


def cancel(session: Session, run_id: UUID, *, now: datetime) -> bool:
    """Cancel a run whose task has ended, unless it has ended meanwhile; whether it was cancelled."""
    is_open = any(not run.is_finished and run.ending is None for run in run_statements.lock(session, [run_id]))
    if is_open:
        changing.cancel(session, run_id, visible_to=None, now=now)
    return is_open


def advance(session: Session, run_id: UUID, *, now: datetime) -> bool:
    """Advance a run, unless somebody else has it locked, who then sees its wake-ups; whether it was advanced."""
    runs = run_statements.lock(session, [run_id], skip_locked=True)
    for run in runs:
        advancing.advance(session, run, now=now, look_at_all=True)
    if not runs:
        session.execute(_FORGET_WAKE_UPS, {"run_id": run_id})
    return bool(runs)


def prune(session: Session, ages: Ages, *, now: datetime, limit: int) -> int:
    """Delete old runs with their tasks, as the tasks' own ages say; returns how many."""
    gone: list[UUID] = []
    for status, kept in ages.by_status.items():
        values = {"before": now - kept, "statuses": [each.value for each in _LIKE[status]], "limit": limit}
        gone += [row.id for row in session.execute(_OLD, values)]
    if gone:
        session.execute(_DELETE_TASKS, {"ids": gone})
        session.execute(_DELETE_SIGNALS, {"ids": gone})
        used = set(session.scalars(_DELETE_RUNS, {"ids": gone}))
        session.execute(_DELETE_VERSIONS, {"ids": sorted(used)})
    return len(gone)
