"""Small tables that steer and count: what is paused, which requests were answered, what was suppressed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column


class Pause(Base):
    """A queue or a task type that is not worked on for now."""

    __tablename__ = "pauses"

    kind: Mapped[str] = mapped_column(primary_key=True, comment="queue or type")
    name: Mapped[str] = mapped_column(primary_key=True, comment="Which queue or type")
    paused_at: Mapped[datetime] = mapped_column(comment="Since when")
    paused_by: Mapped[str | None] = mapped_column(comment="Who paused it")
    reason: Mapped[str | None] = mapped_column(comment="Why, in their words")
    resumed_at: Mapped[datetime | None] = mapped_column(comment="Resumed; the row goes once all its tasks are released")

    __table_args__ = (
        sa.CheckConstraint("kind IN ('queue', 'type')", name="kind_known"),
        {"comment": "Queues and task types that are paused; every worker honours it within 3 seconds"},
    )


class IdempotencyKey(Base):
    """An Idempotency-Key that was used, and what the request made."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(primary_key=True, comment="Account that sent it; empty where there is none")
    route: Mapped[str] = mapped_column(primary_key=True, comment="What it was sent to")
    key: Mapped[str] = mapped_column(primary_key=True, comment="The header's value")
    fingerprint: Mapped[str] = mapped_column(comment="SHA-256 of the request's body in canonical form")
    resource_id: Mapped[UUID] = mapped_column(comment="What the first request made")
    created_at: Mapped[datetime] = mapped_column(comment="When; kept for 24 hours")

    __table_args__ = (
        sa.Index("ix_idempotency_keys_created_at", "created_at"),
        {"comment": "Answered creating requests, so that a repeated one creates nothing"},
    )


class Measurement(Base):
    """Something that the dispatcher measures every few seconds, so that nobody has to count."""

    __tablename__ = "measurements"

    name: Mapped[str] = mapped_column(primary_key=True, comment="What was measured: levels")
    measured_at: Mapped[datetime] = mapped_column(comment="When")
    value: Mapped[dict[str, Any]] = mapped_column(comment="The newest measurement; the one before is forgotten")

    __table_args__ = (
        {"comment": "What the dispatcher measures every few seconds: what waits and runs where, and how fast"},
    )


class Counter(Base):
    """Something that was counted, over all processes and restarts."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True, comment="What: duplicates_suppressed, outcomes_dropped, ...")
    value: Mapped[int] = mapped_column(sa.BigInteger, comment="How often")

    __table_args__ = ({"comment": "What the ledger suppressed, dropped and rescued"},)
