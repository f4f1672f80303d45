"""Schedules: rules that submit tasks; and their slots, one row for each moment, saying what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class Misfire(StrEnum):
    """What happens to slots that were noticed late."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class Overlap(StrEnum):
    """What happens to a slot while the task of the last one is unfinished."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"


class SlotState(StrEnum):
    """What became of a slot."""

    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"


def _any_of(column: str, words: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(word.value) for word in sorted(words))})"


class Schedule(Base):
    """A rule that submits tasks."""

    __tablename__ = "schedules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    owner_id: Mapped[UUID | None] = mapped_column(
        comment="The account it belongs to (no foreign key: a schedule may outlive it); null: the system"
    )
    name: Mapped[str | None] = mapped_column(comment="Its name, unique within its account; null: it has none")
    cron: Mapped[str | None] = mapped_column(comment="Five fields or an alias, in local time; null: a one-off")
    run_at: Mapped[datetime | None] = mapped_column(comment="The only slot of a one-off; null: recurring")
    time_zone: Mapped[str] = mapped_column(comment="IANA name; cron is read in it, by the zone data of the day")
    target: Mapped[dict[str, Any]] = mapped_column(
        comment="What a slot starts: {task: a submission without times} or {workflow: its name and input}"
    )
    schema_hash: Mapped[str | None] = mapped_column(
        comment="Schema that the payload of its tasks was accepted under; null: not known, or it starts runs"
    )
    misfire: Mapped[str] = mapped_column(comment="Slots noticed late: skip, run_once or run_all")
    misfire_cap: Mapped[int] = mapped_column(comment="run_all fires the newest so many of the late slots")
    overlap: Mapped[str] = mapped_column(comment="While the last task is unfinished: allow, skip or queue_one")
    jitter_seconds: Mapped[int] = mapped_column(comment="A task starts up to so many seconds after its slot")
    starts_at: Mapped[datetime | None] = mapped_column(comment="No slot before")
    ends_at: Mapped[datetime | None] = mapped_column(comment="No slot then or later")
    enabled: Mapped[bool] = mapped_column(comment="Whether it has slots now")
    accounted_until: Mapped[datetime] = mapped_column(
        comment="Every slot up to here has its row (or waits in queued_slot_at); the next is computed from here"
    )
    next_at: Mapped[datetime | None] = mapped_column(
        comment="The next slot, or when to look again; null: disabled, or none will come"
    )
    queued_slot_at: Mapped[datetime | None] = mapped_column(
        comment="A slot that waits for the last task to finish (overlap queue_one); it has no row yet"
    )
    last_slot_at: Mapped[datetime | None] = mapped_column(comment="The newest slot that fired")
    last_task_id: Mapped[UUID | None] = mapped_column(comment="Its task; overlap looks at this one")
    last_run_id: Mapped[UUID | None] = mapped_column(comment="Its run, if it starts runs; overlap looks at this one")
    problem: Mapped[str | None] = mapped_column(comment="Why the next slot cannot be computed; null: it can")
    declared: Mapped[str | None] = mapped_column(comment="Digest of its declaration in code; null: a person made it")
    version: Mapped[int] = mapped_column(
        server_default="1", comment="How many rules it has had: each change of what it does, or when, is the next"
    )
    withdrawn: Mapped[bool] = mapped_column(
        server_default=sa.false(),
        comment="It was switched off because its declaration went from the code; it goes on when that comes back",
    )
    created_at: Mapped[datetime] = mapped_column(comment="When it was made")
    updated_at: Mapped[datetime] = mapped_column(comment="When it was last changed by somebody")

    __table_args__ = (
        # Serves the duty that fires what is due, and its upkeep.
        sa.Index("ix_schedules_next_at", "next_at", postgresql_where=sa.text("next_at IS NOT NULL")),
        # Serves the few whose queued slot may be released.
        sa.Index("ix_schedules_queued", "last_task_id", postgresql_where=sa.text("queued_slot_at IS NOT NULL")),
        # Serves an owner's list, newest first, and the limit on how many there are.
        sa.Index("ix_schedules_owner_id_id", "owner_id", "id"),
        # Serves the search by name, and keeps names apart; a trigger numbers one that is taken.
        sa.Index(
            "uq_schedules_owner_name",
            sa.text("coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            "name",
            unique=True,
            postgresql_where=sa.text("name IS NOT NULL"),
        ),
        sa.CheckConstraint("(cron IS NULL) <> (run_at IS NULL)", name="cron_or_run_at"),
        sa.CheckConstraint(_any_of("misfire", Misfire), name="misfire_known"),
        sa.CheckConstraint(_any_of("overlap", Overlap), name="overlap_known"),
        sa.CheckConstraint("enabled OR (next_at IS NULL AND queued_slot_at IS NULL)", name="disabled_has_no_next"),
        sa.CheckConstraint("misfire_cap > 0 AND jitter_seconds >= 0", name="numbers_in_range"),
        sa.CheckConstraint("jsonb_typeof(target) = 'object'", name="target_object"),
        {
            "comment": "Rules that submit tasks, once or by cron",
            # next_at moves at every slot: its index is kept free of dead entries.
            "postgresql_with": {"autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class ScheduleSlot(Base):
    """One moment of a schedule and what became of it."""

    __tablename__ = "schedule_slots"

    schedule_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True, comment="The schedule"
    )
    slot_at: Mapped[datetime] = mapped_column(
        primary_key=True, comment="Its moment; the key makes any number of dispatchers fire it once"
    )
    state: Mapped[str] = mapped_column(comment="fired, skipped or missed")
    task_id: Mapped[UUID | None] = mapped_column(
        comment="The task it submitted (no foreign key: a finished task may be deleted)"
    )
    run_id: Mapped[UUID | None] = mapped_column(comment="The run it started (no foreign key, as above)")
    reason: Mapped[str | None] = mapped_column(comment="Why it was skipped or missed, or fired out of turn")
    recorded_at: Mapped[datetime] = mapped_column(comment="When that was decided")

    __table_args__ = (
        # Serves retention.
        sa.Index("ix_schedule_slots_recorded_at", "recorded_at"),
        sa.CheckConstraint(_any_of("state", SlotState), name="state_known"),
        sa.CheckConstraint("(state = 'fired') = (num_nonnulls(task_id, run_id) = 1)", name="fired_has_a_task"),
        sa.CheckConstraint("state = 'fired' OR reason IS NOT NULL", name="unfired_has_a_reason"),
        {"comment": "What became of each slot of each schedule"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRecord:
    """One row of `schedules`, detached from any transaction; fields as the columns."""

    id: UUID
    owner_id: UUID | None
    name: str | None
    cron: str | None
    run_at: datetime | None
    time_zone: str
    target: dict[str, Any]
    schema_hash: str | None
    misfire: str
    misfire_cap: int
    overlap: str
    jitter_seconds: int
    starts_at: datetime | None
    ends_at: datetime | None
    enabled: bool
    accounted_until: datetime
    next_at: datetime | None
    queued_slot_at: datetime | None
    last_slot_at: datetime | None
    last_task_id: UUID | None
    last_run_id: UUID | None
    problem: str | None
    declared: str | None
    version: int
    withdrawn: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "ScheduleRecord":
        """From a row selected with all columns."""
        return cls(**{name: row[name] for name in SCHEDULE_FIELDS})


SCHEDULE_FIELDS = tuple(field.name for field in fields(ScheduleRecord))


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRecord:
    """One row of `schedule_slots`, detached from any transaction."""

    schedule_id: UUID
    slot_at: datetime
    state: str
    task_id: UUID | None
    run_id: UUID | None
    reason: str | None
    recorded_at: datetime
