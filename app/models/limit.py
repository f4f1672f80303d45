"""Limits, and what follows from them: which tasks are held, what is left of a rate, which task is the only one."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column


class Limit(Base):
    """A limit in force."""

    __tablename__ = "limits"

    kind: Mapped[str] = mapped_column(primary_key=True, comment="all, queue, type, owner or key: what is limited")
    name: Mapped[str] = mapped_column(
        primary_key=True, comment="Which one; a key may end in * to stand for each of many"
    )
    max_running: Mapped[int | None] = mapped_column(comment="At most so many at once, over all workers")
    rate_count: Mapped[int | None] = mapped_column(comment="At most so many starts in rate_seconds")
    rate_seconds: Mapped[float | None] = mapped_column(comment="The period of the rate")
    rate_burst: Mapped[int | None] = mapped_column(comment="So many may start at once after a quiet time")
    max_hints: Mapped[int | None] = mapped_column(
        comment="At most so many of each owner and type on their way to workers"
    )
    weight: Mapped[int | None] = mapped_column(comment="An owner's share where owners compete; null: 1")
    shared: Mapped[bool] = mapped_column(
        server_default=sa.false(),
        comment="Of a key: its places are for all accounts together; false: each account has places of its own",
    )
    reason: Mapped[str | None] = mapped_column(comment="Why, in the words of who set it")
    changed_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), comment="Last change")
    changed_by: Mapped[str | None] = mapped_column(comment="Who changed it last")

    __table_args__ = (
        sa.CheckConstraint("kind IN ('all', 'key', 'owner', 'queue', 'type')", name="kind_known"),
        sa.CheckConstraint("max_running >= 0 AND max_hints >= 1 AND weight BETWEEN 1 AND 1000", name="in_range"),
        sa.CheckConstraint(
            "(rate_count IS NULL) = (rate_seconds IS NULL) AND rate_count >= 1 AND rate_seconds > 0 "
            "AND rate_burst >= 1",
            name="rate_whole",
        ),
        {"comment": "Limits in force: edit them here or by /api/v1/limits; they hold within seconds"},
    )


class RateBucket(Base):
    """The token bucket of one rate limit."""

    __tablename__ = "rate_buckets"

    kind: Mapped[str] = mapped_column(primary_key=True, comment="As in limits")
    name: Mapped[str] = mapped_column(primary_key=True, comment="The queue, type, owner or key")
    tokens: Mapped[float] = mapped_column(comment="Starts that were left at that moment")
    at: Mapped[datetime] = mapped_column(comment="When it was last counted")

    __table_args__ = ({"comment": "What is left of each rate limit"},)


class Admission(Base):
    """An unfinished task under a limit, or with an ordering key."""

    __tablename__ = "admissions"

    task_id: Mapped[UUID] = mapped_column(
        primary_key=True, comment="The task (tasks.id); its row goes when the task ends"
    )
    state: Mapped[str] = mapped_column(
        comment="waiting (not due), queued (behind another of its ordering key), held, out (hint published), running, "
        "blocking (failed, and holds its ordering key)"
    )
    seq: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), comment="Order of submission")
    rank: Mapped[int] = mapped_column(sa.SmallInteger, comment="Priority: 0 high, 1 normal, 2 low")
    owner_id: Mapped[UUID] = mapped_column(comment="Its owner; all zeros for the service itself")
    type: Mapped[str] = mapped_column(comment="Its type")
    queue: Mapped[str] = mapped_column(comment="Its queue")
    key: Mapped[str] = mapped_column(comment="Its concurrency key; empty: none")
    ordering_key: Mapped[str] = mapped_column(comment="Its ordering key; empty: none")
    since: Mapped[datetime] = mapped_column(
        server_default=sa.func.clock_timestamp(), comment="When it came into this state"
    )

    __table_args__ = (
        sa.CheckConstraint("state IN ('blocking', 'held', 'out', 'queued', 'running', 'waiting')", name="state_known"),
        # Serves the search for the first of each lane.
        sa.Index(
            "ix_admissions_held",
            *("rank", "owner_id", "type", "queue", "key", "ordering_key", "seq"),
            postgresql_where=sa.text("state = 'held'"),
        ),
        # Serves the counts of what a limit allows.
        sa.Index("ix_admissions_active", "owner_id", "type", postgresql_where=sa.text("state IN ('out', 'running')")),
        # Serves the question who is first of an ordering key.
        sa.Index(
            "ix_admissions_ordering_key",
            *("owner_id", "ordering_key", "seq"),
            postgresql_where=sa.text("ordering_key <> ''"),
        ),
        {
            "comment": "Unfinished tasks under a limit or with an ordering key; kept by triggers on tasks",
            "postgresql_with": {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.01"},
        },
    )


class UniqueTask(Base):
    """A place that only one task may hold."""

    __tablename__ = "unique_tasks"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True, comment="Whose tasks; all zeros for the service itself")
    fingerprint: Mapped[str] = mapped_column(
        primary_key=True, comment="SHA-256 of what must be unique, and of its values"
    )
    task_id: Mapped[UUID] = mapped_column(index=True, comment="The task that holds the place")
    expires_at: Mapped[datetime | None] = mapped_column(comment="Until when; null: without end")

    __table_args__ = ({"comment": "Tasks of which no second is accepted for now"},)
