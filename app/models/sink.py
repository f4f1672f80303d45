"""How far each sink has come, and what the stats sink has added up."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column


class Sink(Base):
    """One consumer of the events."""

    __tablename__ = "sinks"

    name: Mapped[str] = mapped_column(primary_key=True, comment="csv, stats, webhooks or audit")
    position: Mapped[int] = mapped_column(
        sa.BigInteger, comment="Publish-order number of the last event it has taken; of audit: audit_log.id"
    )
    state: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="What belongs to that position outside of the database (csv: file and size)"
    )
    event_at: Mapped[datetime | None] = mapped_column(comment="When the last event it has taken happened")
    moved_at: Mapped[datetime | None] = mapped_column(comment="When it took that event")
    node: Mapped[str | None] = mapped_column(comment="Host and process id of the one that runs, or ran last")
    last_seen_at: Mapped[datetime | None] = mapped_column(comment="Written every two seconds while it runs")
    last_error: Mapped[str | None] = mapped_column(comment="What stopped it last; null since it has moved on")
    alarm: Mapped[str | None] = mapped_column(comment="What was wrong with its position, or with what the broker said")
    alarm_at: Mapped[datetime | None] = mapped_column(comment="When that was last seen")

    __table_args__ = ({"comment": "Consumers of the events and how far each has come"},)


class TaskStat(Base):
    """What happened in a minute to tasks of a type and owner: how often, how long they ran and had waited."""

    __tablename__ = "task_stats"

    minute: Mapped[datetime] = mapped_column(comment="The minute in which it happened (UTC)")
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of the tasks' owner; null: the service")
    type: Mapped[str] = mapped_column(comment="Task type")
    status: Mapped[str] = mapped_column(comment="The status that they went to")
    n: Mapped[int] = mapped_column(sa.BigInteger, comment="How many did")
    ran: Mapped[int] = mapped_column(sa.BigInteger, comment="How many of them came from PROCESSING")
    run_seconds: Mapped[float] = mapped_column(sa.Double, comment="How long their attempts had run, added up")
    longest_run_seconds: Mapped[float] = mapped_column(sa.Double, comment="The longest of these")
    waited: Mapped[int] = mapped_column(sa.BigInteger, comment="How many of them were claimed (went to PROCESSING)")
    wait_seconds: Mapped[float] = mapped_column(sa.Double, comment="How long those had been PENDING, added up")
    longest_wait_seconds: Mapped[float] = mapped_column(sa.Double, comment="The longest of these")

    __table_args__ = (
        sa.UniqueConstraint(
            "minute",
            "owner_id",
            "type",
            "status",
            name="uq_task_stats_minute_owner_id_type_status",
            postgresql_nulls_not_distinct=True,
        ),
        {"comment": "Changes of status by minute with run and waiting times; kept by the sink `stats`"},
    )
