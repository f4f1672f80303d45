"""Workflows: definitions with their versions, runs, and the steps of runs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id
from app.models.status import Priority


class RunStatus(StrEnum):
    """Where a run stands; docs/reference/workflows.md draws the arrows between them."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


RUN_UNFINISHED = frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.COMPENSATING})


class Ending(StrEnum):
    """Why a run starts no further step."""

    FAILURE = "failure"
    CANCEL = "cancel"


class StepState(StrEnum):
    """Where a step stands; while it is STARTED, its task says more."""

    WAITING = "WAITING"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class CompensationStatus(StrEnum):
    """How far the compensation of a completed step is."""

    STARTED = "STARTED"
    DONE = "DONE"
    FAILED = "FAILED"
    NOTHING = "NOTHING"
    BY_HAND = "BY_HAND"


def _any_of(column: str, words: Any) -> str:
    return f"{column} IN ({', '.join(repr(word.value) for word in sorted(words))})"


_UNFINISHED = _any_of("status", RUN_UNFINISHED)


class Workflow(Base):
    """A named workflow; what it says stands in its versions."""

    __tablename__ = "workflows"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    owner_id: Mapped[UUID | None] = mapped_column(
        comment="The account it belongs to (users.id); null: the service itself, for everybody"
    )
    name: Mapped[str] = mapped_column(comment="Its name in paths; one of each owner")
    description: Mapped[str] = mapped_column(comment="For people")
    active: Mapped[bool] = mapped_column(comment="Whether runs may be started")
    version: Mapped[int] = mapped_column(comment="Number of the newest version, which new runs take")
    created_at: Mapped[datetime] = mapped_column(comment="When it was made")
    updated_at: Mapped[datetime] = mapped_column(comment="When it was last changed")

    __table_args__ = (
        sa.UniqueConstraint("owner_id", "name", postgresql_nulls_not_distinct=True),
        # Serves an owner's list, newest first.
        sa.Index("ix_workflows_owner_id_id", "owner_id", "id"),
        sa.CheckConstraint("version > 0", name="version_from_one"),
        {"comment": "Workflows by name"},
    )


class WorkflowVersion(Base):
    """What a workflow said at a time; never changed, because runs go by it to their end."""

    __tablename__ = "workflow_versions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7")
    workflow_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("workflows.id", ondelete="SET NULL"), comment="Of which workflow; null: deleted, runs remain"
    )
    number: Mapped[int] = mapped_column(comment="From 1")
    # json, which keeps the order of the steps as they were written
    definition: Mapped[dict[str, Any]] = mapped_column(sa.JSON, comment="The full form: steps by key")
    digest: Mapped[str] = mapped_column(comment="SHA-256 of the definition: equal for equal ones")
    schema_hashes: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="Schemas that the payloads of its steps were accepted under, by task type; null: not known",
    )
    created_at: Mapped[datetime] = mapped_column(comment="When it was stored")

    __table_args__ = (
        sa.UniqueConstraint("workflow_id", "number"),
        {"comment": "Versions of workflows"},
    )


class WorkflowRun(Base):
    """One execution of one version."""

    __tablename__ = "workflow_runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    workflow_name: Mapped[str] = mapped_column(comment="Name of the workflow when it was started")
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("workflow_versions.id"), comment="What it goes by")
    version: Mapped[int] = mapped_column(comment="Number of that version")
    owner_id: Mapped[UUID | None] = mapped_column(comment="Whose it is (users.id); null: the service itself")
    status: Mapped[str] = mapped_column(comment="Where it stands; docs/reference/workflows.md")
    ending: Mapped[str | None] = mapped_column(comment="Why no further step starts: failure, cancel; null: they do")
    reason: Mapped[str | None] = mapped_column(comment="Why the status is what it is, where that is not obvious")
    input: Mapped[dict[str, Any]] = mapped_column(comment="What it was given")
    labels: Mapped[dict[str, Any]] = mapped_column(comment="Strings by name, to find it by; its tasks carry them, too")
    priority: Mapped[str] = mapped_column(comment="Of its tasks: high, normal or low")
    created_at: Mapped[datetime] = mapped_column(comment="When it was started")
    starts_at: Mapped[datetime | None] = mapped_column(comment="No step begins before (a schedule's jitter, say)")
    finished_at: Mapped[datetime | None] = mapped_column(comment="When it ended, the last time")
    updated_at: Mapped[datetime] = mapped_column(comment="When its status last changed")
    parent_id: Mapped[UUID | None] = mapped_column(
        comment="The task that started it, a step of another run (no foreign key: it may be deleted); null: somebody"
    )
    tells_id: Mapped[UUID | None] = mapped_column(
        comment="The task that waits for its end: the one above, or the one that undoes it; a trigger tells it"
    )

    __table_args__ = (
        # Serves a task's look for the run that it has started, and the duty's for those that nobody waits for.
        sa.Index("ix_workflow_runs_parent_id", "parent_id", postgresql_where=sa.text("parent_id IS NOT NULL")),
        # Serves an owner's list, newest first.
        sa.Index("ix_workflow_runs_owner_id_id", "owner_id", "id"),
        # Serves finding runs by label (a customer's, say).
        sa.Index(
            "ix_workflow_runs_labels", "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}
        ),
        # Serves the duty's look at what may be stuck.
        sa.Index("ix_workflow_runs_unfinished", "id", postgresql_where=sa.text(_UNFINISHED)),
        # Serves retention, and deleting versions that no run goes by.
        sa.Index("ix_workflow_runs_finished_at", "finished_at", postgresql_where=sa.text("finished_at IS NOT NULL")),
        sa.Index("ix_workflow_runs_version_id", "version_id"),
        sa.CheckConstraint(_any_of("status", RunStatus), name="status_known"),
        sa.CheckConstraint(_any_of("ending", Ending), name="ending_known"),
        sa.CheckConstraint(_any_of("priority", Priority), name="priority_known"),
        sa.CheckConstraint(f"(finished_at IS NULL) = ({_UNFINISHED})", name="finished_at_when_finished"),
        {"comment": "Runs of workflows", "postgresql_with": {"autovacuum_vacuum_scale_factor": "0.01"}},
    )


class WorkflowStep(Base):
    """One step of one run."""

    __tablename__ = "workflow_steps"

    run_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("workflow_runs.id", ondelete="CASCADE"), primary_key=True, comment="The run"
    )
    key: Mapped[str] = mapped_column(primary_key=True, comment="Key of the step in the definition")
    position: Mapped[int] = mapped_column(comment="Its place in the definition, from 0")
    type: Mapped[str] = mapped_column(comment="Task type that it runs")
    state: Mapped[str] = mapped_column(comment="WAITING, STARTED, COMPLETED, FAILED, CANCELLED or SKIPPED")
    task_id: Mapped[UUID | None] = mapped_column(comment="Its task; null before it starts, or if it could not")
    completion_order: Mapped[int | None] = mapped_column(
        "ended_no", comment="The how-manieth to end: undone from the highest down"
    )
    error: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="Why it failed: type and message"
    )
    compensation_status: Mapped[str | None] = mapped_column(
        "undo_state", comment="STARTED, DONE, FAILED, NOTHING or BY_HAND; null: not asked"
    )
    compensation_id: Mapped[UUID | None] = mapped_column(comment="The task that undoes it")
    started_at: Mapped[datetime | None] = mapped_column(comment="When its task was submitted")
    ended_at: Mapped[datetime | None] = mapped_column(comment="When it ended, or was skipped")

    __table_args__ = (
        sa.CheckConstraint(_any_of("state", StepState), name="state_known"),
        sa.CheckConstraint(_any_of("undo_state", CompensationStatus), name="undo_state_known"),
        sa.CheckConstraint("state <> 'STARTED' OR task_id IS NOT NULL", name="started_has_a_task"),
        {
            "comment": "Steps of runs; the task of a step says what happens to it",
            "postgresql_with": {"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class WorkflowWakeUp(Base):
    """A task of a run, or a child of a task, has ended, by whatever way, and nobody has told run or parent yet."""

    __tablename__ = "workflow_news"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Row")
    run_id: Mapped[UUID | None] = mapped_column(comment="The run (no foreign key: it would lock the run)")
    task_id: Mapped[UUID | None] = mapped_column(comment="The task, where it is one whose child has ended")

    __table_args__ = (
        # Serves taking a run's wake-ups when it advances.
        sa.Index("ix_workflow_news_run_id", "run_id"),
        # Serves taking a task's wake-ups when it is looked at.
        sa.Index("ix_workflow_news_task_id", "task_id", postgresql_where=sa.text("task_id IS NOT NULL")),
        {
            "comment": "Runs of which a task has ended, and tasks of which a child has; a trigger writes it, "
            "whoever looks deletes it",
            "postgresql_with": {"autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class WorkflowRunEvent(Base):
    """One change of a run's status; a trigger writes it."""

    __tablename__ = "workflow_run_events"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order")
    run_id: Mapped[UUID] = mapped_column(sa.ForeignKey("workflow_runs.id", ondelete="CASCADE"), comment="The run")
    at: Mapped[datetime] = mapped_column(comment="When")
    status: Mapped[str] = mapped_column(comment="Its status from here on")
    previous_status: Mapped[str | None] = mapped_column(comment="Its status before; null: it was started")
    reason: Mapped[str | None] = mapped_column(comment="Why")

    __table_args__ = (
        # Serves the history of a run.
        sa.Index("ix_workflow_run_events_run_id_id", "run_id", "id"),
        {"comment": "History of every run's status"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One row of `workflow_runs`, detached from any transaction; fields as the columns."""

    id: UUID
    workflow_name: str
    version_id: UUID
    version: int
    owner_id: UUID | None
    status: str
    ending: str | None
    reason: str | None
    input: dict[str, Any]
    labels: dict[str, Any]
    priority: str
    created_at: datetime
    starts_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "RunRecord":
        """From a row selected with all columns."""
        return cls(**{name: row[name] for name in RUN_FIELDS})

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status not in RUN_UNFINISHED


RUN_FIELDS = tuple(field.name for field in fields(RunRecord))


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """One row of `workflow_steps`, with what its task says where that was asked for."""

    key: str
    position: int
    type: str
    state: str
    task_id: UUID | None
    completion_order: int | None
    error: dict[str, Any] | None
    compensation_status: str | None
    compensation_id: UUID | None
    started_at: datetime | None
    ended_at: datetime | None


STEP_COLUMNS = {name: getattr(WorkflowStep, name) for name in StepRecord.__slots__}
"""The column of each field of StepRecord: some keep an old name."""
