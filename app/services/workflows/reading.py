"""Runs as their owners see them: lists, and one with its steps and how far it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.database import Session
from app.errors import NotFound
from app.models import RunRecord, StepState, Task, WorkflowRunEvent, WorkflowStep
from app.models.page import Page, page_of
from app.models.workflow import RUN_FIELDS, STEP_COLUMNS
from app.services.workflows.advancing import ENDED_WELL
from app.services.workflows.run_statements import RUNS
from app.services.workflows.versions import definition_of
from taskledger_sdk.workflows import Definition

STEPS = WorkflowStep.metadata.tables["workflow_steps"]
TASKS = Task.metadata.tables["tasks"]
EVENTS = WorkflowRunEvent.metadata.tables["workflow_run_events"]
_RUN = sa.select(*(RUNS.c[name] for name in RUN_FIELDS))
MAX_EVENTS = 500
NOT_COLUMNS = frozenset({"after", "said", "items"})
_ITEMS = sa.text("""
    SELECT task_id, count(*) AS total, count(*) FILTER (WHERE state = 'DONE') AS completed,
        count(*) FILTER (WHERE state = 'FAILED') AS failed,
        count(*) FILTER (WHERE released_at IS NOT NULL AND ended_at IS NULL) AS running
    FROM task_steps
    WHERE task_id = ANY(CAST(:ids AS uuid[])) AND child_id IS NOT NULL
    GROUP BY task_id
""")
NOT_READ = Definition(steps={})


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which runs to list; what is empty or None does not restrict. created_after is inclusive, created_before not.

    `names`: of any of these workflows.
    """

    workflow: str | None = None
    names: Collection[str] = ()
    statuses: Collection[str] = ()
    labels: Sequence[tuple[str, str]] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How many steps there are, how many are done (completed or skipped) and which went badly."""

    total: int
    done: int
    running: int
    failed: int

    @property
    def percent(self) -> int:
        """Steps done, of all: 0 to 100, and 100 only when none is left."""
        return 100 * self.done // self.total if self.total else 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemCounts:
    """How far the items of a step with `for_each` are."""

    total: int
    completed: int
    failed: int
    running: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepView:
    """One step with what its task says."""

    key: str
    type: str
    after: tuple[str, ...]
    state: str
    task_id: UUID | None
    task_status: str | None
    task_reason: str | None
    attempt: int | None
    progress: dict[str, Any] | None
    error: dict[str, Any] | None
    compensation_status: str | None
    compensation_id: UUID | None
    started_at: datetime | None
    ended_at: datetime | None
    said: str
    """What it does, for people."""
    items: ItemCounts | None
    """Of a step with `for_each`, once it has begun."""

    def seconds(self, now: datetime) -> float | None:
        """How long it has taken, waiting in the queue included; None before it starts."""
        return None if self.started_at is None else max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """A run with its steps."""

    run: RunRecord
    progress: Progress
    definition: Definition
    steps: Sequence[StepView] = field(default_factory=tuple)

    def seconds(self, now: datetime) -> float:
        """How long it has taken until now, or until its end."""
        return max(0.0, ((self.run.finished_at or now) - self.run.created_at).total_seconds())


def read(session: Session, run_id: UUID, *, visible_to: UUID | None) -> RunRecord:
    """One run; `visible_to` None sees everybody's. Raises NotFound, for somebody else's as well."""
    row = session.connection().execute(_RUN.where(RUNS.c.id == run_id)).mappings().first()
    if row is None or (visible_to is not None and row["owner_id"] != visible_to):
        raise NotFound(f"There is no run {run_id}: check the id; it may also have been deleted.")
    return RunRecord.of(row)


def view(session: Session, run: RunRecord) -> RunView:
    """A run with its steps, in their order."""
    definition = definition_of(session, run.version_id)
    chosen = (
        sa.select(
            *(column.label(name) for name, column in STEP_COLUMNS.items()),
            TASKS.c.status.label("task_status"),
            TASKS.c.reason.label("task_reason"),
            TASKS.c.attempt,
            TASKS.c.progress,
        )
        .join(TASKS, TASKS.c.id == STEPS.c.task_id, isouter=True)
        .where(STEPS.c.run_id == run.id)
        .order_by(STEPS.c.position)
    )
    rows = list(session.connection().execute(chosen).mappings())
    items = _items(session, definition, rows)
    shown = [
        StepView(
            after=definition.steps[row["key"]].after,
            said=definition.steps[row["key"]].said,
            items=items.get(row["task_id"]),
            **{name: row[name] for name in StepView.__slots__ if name not in NOT_COLUMNS},
        )
        for row in rows
    ]
    return RunView(run=run, progress=_progress([row["state"] for row in rows]), definition=definition, steps=shown)


def find(
    session: Session, criteria: Filter, *, visible_to: UUID | None, before: UUID | None, limit: int
) -> Page[RunView]:
    """A page of the runs older than `before`, newest first.

    They come without their steps.
    """
    query = _RUN.where(*_conditions(criteria)).order_by(RUNS.c.id.desc()).limit(limit + 1)
    if visible_to is not None:
        query = query.where(RUNS.c.owner_id == visible_to)
    if before is not None:
        query = query.where(RUNS.c.id < before)
    runs = [RunRecord.of(row) for row in session.connection().execute(query).mappings()]
    states = _states(session, [run.id for run in runs[:limit]])
    views = [RunView(run=run, progress=_progress(states.get(run.id, ())), definition=NOT_READ) for run in runs[:limit]]
    return Page(views, page_of(runs, limit).next)


def events(session: Session, run_id: UUID) -> list[Mapping[str, Any]]:
    """The history of a run's status, oldest first."""
    chosen = sa.select(EVENTS.c.at, EVENTS.c.status, EVENTS.c.previous_status, EVENTS.c.reason)
    chosen = chosen.where(EVENTS.c.run_id == run_id).order_by(EVENTS.c.id).limit(MAX_EVENTS)
    rows = session.connection().execute(chosen)
    return [dict(row) for row in rows.mappings()]


def task_ids(criteria: Filter, *, visible_to: UUID | None) -> sa.Select[Any]:
    """A query for the ids of all tasks of the runs: their steps' and those that compensate them."""
    runs = sa.select(RUNS.c.id).where(*_conditions(criteria))
    if visible_to is not None:
        runs = runs.where(RUNS.c.owner_id == visible_to)
    both = sa.func.unnest(postgresql.array([STEPS.c.task_id, STEPS.c.compensation_id]))
    return sa.select(both).where(STEPS.c.run_id.in_(runs))


def _items(session: Session, definition: Definition, rows: Sequence[Mapping[Any, Any]]) -> dict[UUID, ItemCounts]:
    """Of the tasks of steps with `for_each`."""
    ids = [row["task_id"] for row in rows if row["task_id"] and definition.steps[row["key"]].for_each is not None]
    if not ids:
        return {}
    counted = session.execute(_ITEMS, {"ids": ids}).mappings()
    return {row["task_id"]: ItemCounts(**{name: row[name] for name in ItemCounts.__slots__}) for row in counted}


def _conditions(criteria: Filter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [RUNS.c.labels.contains({key: value}) for key, value in criteria.labels]
    if criteria.workflow is not None:
        conditions.append(RUNS.c.workflow_name == criteria.workflow)
    if criteria.names:
        conditions.append(RUNS.c.workflow_name.in_(sorted(criteria.names)))
    if criteria.statuses:
        conditions.append(RUNS.c.status.in_(sorted(criteria.statuses)))
    if criteria.created_after is not None:
        conditions.append(RUNS.c.created_at >= criteria.created_after)
    if criteria.created_before is not None:
        conditions.append(RUNS.c.created_at < criteria.created_before)
    return conditions


def _states(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    states: dict[UUID, list[str]] = {}
    counted = sa.select(STEPS.c.run_id, STEPS.c.state, sa.func.count().label("n")).where(STEPS.c.run_id.in_(ids))
    for row in session.connection().execute(counted.group_by(STEPS.c.run_id, STEPS.c.state)):
        states.setdefault(row.run_id, []).extend([row.state] * row.n)
    return states


def _progress(states: Collection[str]) -> Progress:
    return Progress(
        total=len(states),
        done=sum(state in ENDED_WELL for state in states),
        running=sum(state == StepState.STARTED for state in states),
        failed=sum(state in (StepState.FAILED, StepState.CANCELLED) for state in states),
    )
