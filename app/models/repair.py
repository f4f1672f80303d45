"""Repairs: dead letters that are replayed together, at a rate, and what became of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class RepairStatus(StrEnum):
    """Where a repair stands."""

    CANARY = "CANARY"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    UNDOING = "UNDOING"
    UNDONE = "UNDONE"


class RepairOutcome(StrEnum):
    """What became of one of its tasks; of those that were replayed, how the first attempt after it ended."""

    WELL = "well"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    PASSED_OVER = "passed_over"
    UNDONE = "undone"


REPAIR_ACTIVE = frozenset({RepairStatus.CANARY, RepairStatus.RUNNING, RepairStatus.PAUSED, RepairStatus.UNDOING})
"""In these no other repair may have the same tasks."""
_WORDS = ", ".join(f"'{word.value}'" for word in RepairStatus)
_ACTIVE = ", ".join(sorted(f"'{word.value}'" for word in REPAIR_ACTIVE))
NOBODY = "00000000-0000-0000-0000-000000000000"


class Repair(Base):
    """One repair."""

    __tablename__ = "repairs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of who started it")
    visible_to: Mapped[UUID | None] = mapped_column(comment="users.id whose tasks it may have; null: everybody's")
    type: Mapped[str] = mapped_column(comment="Task type of its tasks")
    token_hash: Mapped[str] = mapped_column(comment="SHA-256 of the token of its dry run: each is good for one repair")
    status: Mapped[str] = mapped_column(comment="CANARY, RUNNING, PAUSED, STOPPED, COMPLETED, UNDOING or UNDONE")
    reason: Mapped[str | None] = mapped_column(comment="Why it stands where it does, where that is not obvious")
    spec: Mapped[dict[str, Any]] = mapped_column(
        JSONB, comment="What was asked for: filter, patch, canary, per_second, stop_above_failure_ratio"
    )
    failed_before: Mapped[datetime] = mapped_column(comment="When its dry run counted: what failed later is left out")
    count: Mapped[int] = mapped_column("tasks", comment="How many tasks it has")
    remaining: Mapped[int] = mapped_column(comment="Of them: not replayed yet")
    replayed: Mapped[int] = mapped_column(server_default="0", comment="Replayed so far")
    unended: Mapped[int] = mapped_column(server_default="0", comment="Replayed, and their first attempt has not ended")
    well: Mapped[int] = mapped_column(server_default="0", comment="Replayed, and their first attempt ended well")
    failed: Mapped[int] = mapped_column(server_default="0", comment="Replayed, and their first attempt failed")
    cancelled: Mapped[int] = mapped_column(server_default="0", comment="Replayed, and cancelled or deleted since")
    refused: Mapped[int] = mapped_column(server_default="0", comment="Not replayed: the patch does not fit")
    passed_over: Mapped[int] = mapped_column(server_default="0", comment="Not replayed: no such dead letter any more")
    undone: Mapped[int] = mapped_column(server_default="0", comment="Replayed, and made dead letters again unstarted")
    credit: Mapped[float] = mapped_column(server_default="1", comment="How many may be replayed now, by its rate")
    last_at: Mapped[datetime | None] = mapped_column(comment="When credit was last counted")
    canary_at: Mapped[datetime | None] = mapped_column(comment="Since when the canary, wholly replayed, is waited for")
    undone_after: Mapped[UUID | None] = mapped_column(comment="While UNDOING: tasks up to this one have been looked at")
    is_settled: Mapped[bool] = mapped_column(
        "settled", server_default=sa.text("false"), comment="Nothing of it has to be looked at any more"
    )
    created_at: Mapped[datetime] = mapped_column(comment="When it was started")
    finished_at: Mapped[datetime | None] = mapped_column(comment="When it was STOPPED, COMPLETED or UNDONE")

    __table_args__ = (
        # Keeps two repairs of one type from having the same tasks.
        sa.Index(
            "uq_repairs_active",
            "type",
            sa.text(f"coalesce(visible_to, '{NOBODY}'::uuid)"),
            unique=True,
            postgresql_where=sa.text(f"status IN ({_ACTIVE})"),
        ),
        # Serves the duty.
        sa.Index("ix_repairs_unsettled", "id", postgresql_where=sa.text("NOT settled")),
        sa.UniqueConstraint("token_hash"),
        sa.CheckConstraint(f"status IN ({_WORDS})", name="status_known"),
        sa.CheckConstraint(
            "remaining >= 0 AND unended >= 0 AND remaining + refused + passed_over + replayed = tasks "
            "AND unended + well + failed + cancelled + undone = replayed",
            name="all_accounted_for",
        ),
        {"comment": "Dead letters that are replayed together", "postgresql_with": {"fillfactor": "50"}},
    )


class RepairItem(Base):
    """One task of a repair."""

    __tablename__ = "repair_items"

    # No foreign keys: tasks are deleted for themselves, and items by batches before their repair.
    repair_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The repair")
    task_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The task")
    old_payload: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True),
        comment="Its payload before the patch; null: there is no patch, or the task is deleted",
    )
    old_schema_hash: Mapped[str | None] = mapped_column(
        comment="The schema under which that payload was accepted; null: there is no patch, or it is not known"
    )
    attempt: Mapped[int | None] = mapped_column(comment="Its attempts when it was replayed")
    attempt_base: Mapped[int | None] = mapped_column(comment="Its attempt_base before it was replayed")
    failed_at: Mapped[datetime | None] = mapped_column(comment="Its finished_at before it was replayed")
    replayed_at: Mapped[datetime | None] = mapped_column(comment="When it was replayed; null: it was not")
    ended_at: Mapped[datetime | None] = mapped_column(comment="When its outcome was seen")
    outcome: Mapped[str | None] = mapped_column(comment="well, failed, cancelled, refused, passed_over or undone")
    problem: Mapped[str | None] = mapped_column(comment="Why it was refused or passed over")

    __table_args__ = (
        # Serves the replay of the next ones.
        sa.Index(
            "ix_repair_items_remaining",
            "repair_id",
            "task_id",
            postgresql_where=sa.text("replayed_at IS NULL AND outcome IS NULL"),
        ),
        # Serves the look at outcomes, and the undoing.
        sa.Index(
            "ix_repair_items_unended",
            "repair_id",
            "task_id",
            postgresql_where=sa.text("replayed_at IS NOT NULL AND outcome IS NULL"),
        ),
        # Serves the trigger that forgets the payloads of deleted tasks.
        sa.Index("ix_repair_items_task_id", "task_id"),
        sa.CheckConstraint(
            "outcome IN ('well', 'failed', 'cancelled', 'refused', 'passed_over', 'undone')", name="outcome_known"
        ),
        {"comment": "The tasks of repairs, and what became of them", "postgresql_with": {"fillfactor": "70"}},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairRecord:
    """One row of `repairs`, detached from any transaction."""

    id: UUID
    owner_id: UUID | None
    visible_to: UUID | None
    type: str
    status: str
    reason: str | None
    spec: dict[str, Any]
    failed_before: datetime
    count: int
    remaining: int
    replayed: int
    unended: int
    well: int
    failed: int
    cancelled: int
    refused: int
    passed_over: int
    undone: int
    credit: float
    last_at: datetime | None
    canary_at: datetime | None
    undone_after: UUID | None
    is_settled: bool
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "RepairRecord":
        """From a row selected with REPAIR_COLUMNS, and maybe others."""
        return cls(**{name: row[name] for name in cls.__slots__})

    @property
    def is_active(self) -> bool:
        """Whether it keeps other repairs from its tasks."""
        return self.status in REPAIR_ACTIVE

    @property
    def failure_ratio(self) -> float | None:
        """Of those whose first attempt has ended, the part that failed; None before the first."""
        ended = self.well + self.failed
        return self.failed / ended if ended else None


REPAIR_COLUMNS = tuple(getattr(Repair, name).label(name) for name in RepairRecord.__slots__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairItemRecord:
    """What became of one task of a repair."""

    task_id: UUID
    outcome: str | None
    problem: str | None
    replayed_at: datetime | None
    ended_at: datetime | None
