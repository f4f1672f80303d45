"""The statements of runs: the only module that writes `workflow_runs.status`, each time by one guarded statement.

Whoever moves a run on has locked it first, before any task (DESIGN 3.11); so what follows from its steps is decided by
one transaction at a time.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.database import Session
from app.models import RUN_UNFINISHED, Ending, RunRecord, WorkflowRun
from app.models.workflow import RUN_FIELDS
from app.services.workflows.transitions import Transition

RUNS = WorkflowRun.metadata.tables["workflow_runs"]
_COLUMNS = [RUNS.c[name] for name in RUN_FIELDS]
_END = sa.text("UPDATE workflow_runs SET ending = :ending, reason = :reason WHERE id = :id")


class IdInUse(Exception):
    """There is a run with the id that the caller chose for a new one."""


def insert(session: Session, run: RunRecord) -> None:
    """A new run. Raises IdInUse; then nothing is stored."""
    row = {name: getattr(run, name) for name in RUN_FIELDS}
    new = postgresql.insert(RUNS).on_conflict_do_nothing(index_elements=["id"]).returning(RUNS.c.id)
    if session.connection().execute(new, row).first() is None:
        raise IdInUse


def lock(session: Session, ids: Iterable[UUID], *, skip_locked: bool = False) -> list[RunRecord]:
    """Lock runs, in the order of their ids; those that are gone (or, if so asked, in other hands) are left out."""
    run_ids = list(ids)
    if not run_ids:  # outcomes of tasks that belong to no run come here, too, and cost nothing
        return []
    chosen = sa.select(*_COLUMNS).where(RUNS.c.id.in_(run_ids)).order_by(RUNS.c.id)
    locked = chosen.with_for_update(key_share=True, skip_locked=skip_locked)
    return [RunRecord.of(row) for row in session.connection().execute(locked).mappings()]


def move(session: Session, run: RunRecord, arrow: Transition, *, reason: str | None, now: datetime) -> RunRecord | None:
    """The run after an arrow, which also forgets why it was ending; None if it does not start from where it is."""
    finished_at = None if arrow.target in RUN_UNFINISHED else now
    changed = session.execute(
        sa.text(f"""
            UPDATE workflow_runs
            SET status = '{arrow.target}', reason = :reason, updated_at = :now, finished_at = :finished_at,
                ending = NULL
            WHERE id = :id AND {arrow.guard}
            RETURNING id
        """),
        {"id": run.id, "reason": reason, "now": now, "finished_at": finished_at},
    )
    if changed.first() is None:
        return None
    return replace(run, status=arrow.target, reason=reason, updated_at=now, finished_at=finished_at, ending=None)


def end(session: Session, run: RunRecord, ending: Ending, *, reason: str) -> RunRecord:
    """From here on no further step starts; the run changes its status when those under way have ended."""
    session.execute(_END, {"id": run.id, "ending": ending.value, "reason": reason})
    return replace(run, ending=ending.value, reason=reason)
