"""Events on their way out of the ledger: the outbox, the numbered batches that were published, counts by hour."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.database import Base, Mapped, mapped_column


class OutboxEntry(Base):
    """One event that was not passed on yet; written by the trigger that writes the event."""

    __tablename__ = "event_outbox"

    event_id: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, comment="task_events.id, not passed on yet"
    )
    at: Mapped[datetime] = mapped_column(comment="When; says in which partition the event is")

    __table_args__ = (
        {
            "comment": "Events that were not passed on yet; the duty `events` deletes what the broker has confirmed",
            # A row lives for a tenth of a second: without vacuum, each look would walk over the dead ones.
            "postgresql_with": {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
        },
    )


class EventBatch(Base):
    """Events that were published together, in order. One row for many: numbering each would write every event twice."""

    __tablename__ = "event_batches"

    first_position: Mapped[int] = mapped_column(
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Publish-order number of its first event; the others follow without a gap",
    )
    last_position: Mapped[int] = mapped_column(sa.BigInteger, comment="Number of its last event")
    event_ids: Mapped[list[int]] = mapped_column(
        ARRAY(sa.BigInteger), comment="task_events.id, in the order of publishing"
    )
    oldest_at: Mapped[datetime] = mapped_column(comment="Earliest `at` of its events (partitions!)")
    newest_at: Mapped[datetime] = mapped_column(comment="Latest `at` of its events")
    published_at: Mapped[datetime | None] = mapped_column(
        comment="When the broker had confirmed all of it; null: it is being published, at most one is"
    )

    __table_args__ = (
        # Serves every reader that goes on after a number.
        sa.Index("ix_event_batches_last_position", "last_position", unique=True),
        sa.CheckConstraint("last_position - first_position + 1 = cardinality(event_ids)", name="one_number_each"),
        {"comment": "Events in publish order: each has the number `position`, which consumers go by"},
    )


class TaskCount(Base):
    """How often tasks of a type and owner went from one status to another in an hour."""

    __tablename__ = "task_counts"

    hour: Mapped[datetime] = mapped_column(comment="The hour in which it happened (UTC)")
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of the tasks' owner; null: the service")
    type: Mapped[str] = mapped_column(comment="Task type")
    previous_status: Mapped[str | None] = mapped_column(comment="Status before; null: submitted")
    status: Mapped[str] = mapped_column(comment="Status after")
    n: Mapped[int] = mapped_column(sa.BigInteger, comment="How often")

    __table_args__ = (
        sa.UniqueConstraint(
            "hour",
            "owner_id",
            "type",
            "previous_status",
            "status",
            name="uq_task_counts_hour_owner_id_type_previous_status_status",
            postgresql_nulls_not_distinct=True,
        ),
        {
            "comment": "Changes of status by hour; those still in event_outbox are not among them",
            "postgresql_with": {"fillfactor": "70"},
        },
    )
