"""Triggers: rules that start work when something happened elsewhere; the events that told of it; and what matched."""

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


class MatchState(StrEnum):
    """What became of a trigger whose condition held."""

    STARTED = "started"
    REFUSED = "refused"


class Trigger(Base):
    """A rule: when an event of this name comes and its condition holds, a task is submitted or a run started."""

    __tablename__ = "triggers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by creation")
    owner_id: Mapped[UUID | None] = mapped_column(
        comment="The account it belongs to (no foreign key: a trigger may outlive it); null: the system"
    )
    name: Mapped[str | None] = mapped_column(comment="For people; null: it has none")
    event: Mapped[str] = mapped_column(comment="Name of the events that it listens for")
    condition: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="What must hold of an event; null: nothing"
    )
    target: Mapped[dict[str, Any]] = mapped_column(
        JSONB,
        comment="What it starts: {task: a submission of templates} or {workflow: its name, an input of templates}",
    )
    schema_hash: Mapped[str | None] = mapped_column(
        comment="Schema that its payload was accepted under; null: it starts runs"
    )
    enabled: Mapped[bool] = mapped_column(comment="Whether it starts anything now")
    created_at: Mapped[datetime] = mapped_column(comment="When it was created: earlier events do not concern it")
    updated_at: Mapped[datetime] = mapped_column(comment="When it was last changed by somebody")

    __table_args__ = (
        # Serves an event: the rules that listen for its name, in the order in which they were created.
        sa.Index("ix_triggers_event", "event", "owner_id", "id", postgresql_where=sa.text("enabled")),
        # Serves an owner's list, newest first, and the limit on how many there are.
        sa.Index("ix_triggers_owner_id_id", "owner_id", "id"),
        sa.CheckConstraint("jsonb_typeof(target) = 'object'", name="target_object"),
        {"comment": "Rules that start tasks and runs when something happened elsewhere"},
    )


class OutsideEvent(Base):
    """Something that happened elsewhere, as POST /events told of it, and how far the triggers have been applied."""

    __tablename__ = "outside_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7: ids sort by their coming")
    owner_id: Mapped[UUID | None] = mapped_column(comment="The account that told of it (users.id); null: the system")
    name: Mapped[str] = mapped_column(comment="What happened: the triggers of this name are applied")
    data: Mapped[Any] = mapped_column(JSONB, comment="What is known of it")
    received_at: Mapped[datetime] = mapped_column(comment="When it was accepted")
    task_id: Mapped[UUID] = mapped_column(
        comment="The task that applies the triggers (no foreign key: it may be deleted)"
    )
    applied_after: Mapped[UUID | None] = mapped_column(
        comment="Triggers up to this one have been applied; moved with what they started"
    )
    applied_at: Mapped[datetime | None] = mapped_column(comment="When all had been; null: not yet")
    unmatched: Mapped[int] = mapped_column(server_default="0", comment="How many triggers listened and did not match")
    unmatched_sample: Mapped[list[Any]] = mapped_column(
        JSONB, server_default=sa.text("'[]'"), comment="The first of those: trigger_id, and the reason"
    )

    __table_args__ = (
        # Serves an owner's list, newest first.
        sa.Index("ix_outside_events_owner_id_id", "owner_id", "id"),
        {
            "comment": "What POST /events was told",
            "postgresql_with": {"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class TriggerMatch(Base):
    """One event for which the condition of one trigger held, and what was started."""

    __tablename__ = "trigger_matches"

    event_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("outside_events.id", ondelete="CASCADE"), primary_key=True, comment="The event"
    )
    trigger_id: Mapped[UUID] = mapped_column(
        primary_key=True, comment="The trigger (no foreign key); the key makes each start its work once"
    )
    state: Mapped[str] = mapped_column(comment="started or refused")
    task_id: Mapped[UUID | None] = mapped_column(comment="The task that was submitted (no foreign key)")
    run_id: Mapped[UUID | None] = mapped_column(comment="The run that was started (no foreign key)")
    reason: Mapped[str | None] = mapped_column(comment="Why it was refused")
    at: Mapped[datetime] = mapped_column(comment="When that was decided")

    __table_args__ = (
        # Serves what a trigger has started, newest first: ids of events sort by their coming.
        sa.Index("ix_trigger_matches_trigger_id", "trigger_id", "event_id"),
        sa.CheckConstraint("state IN ('refused', 'started')", name="state_known"),
        sa.CheckConstraint("(state = 'started') = (num_nonnulls(task_id, run_id) = 1)", name="started_has_a_task"),
        sa.CheckConstraint("state = 'started' OR reason IS NOT NULL", name="refused_has_a_reason"),
        {"comment": "What became of each trigger that matched an event"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerRecord:
    """One row of `triggers`, detached from any transaction; fields as the columns."""

    id: UUID
    owner_id: UUID | None
    name: str | None
    event: str
    condition: Any
    target: dict[str, Any]
    schema_hash: str | None
    enabled: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "TriggerRecord":
        """From a row selected with all columns."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True, slots=True)
class OutsideEventRecord:
    """One row of `outside_events`, detached from any transaction; fields as the columns."""

    id: UUID
    owner_id: UUID | None
    name: str
    data: Any
    received_at: datetime
    task_id: UUID
    applied_after: UUID | None
    applied_at: datetime | None
    unmatched: int
    unmatched_sample: list[Any]

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "OutsideEventRecord":
        """From a row selected with all columns."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchRecord:
    """One row of `trigger_matches`, detached from any transaction; fields as the columns."""

    event_id: UUID
    trigger_id: UUID
    state: str
    task_id: UUID | None
    run_id: UUID | None
    reason: str | None
    at: datetime
