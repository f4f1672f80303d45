"""The task_events table: one row a change of status, written by a trigger so that nothing bypasses it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column


class TaskEvent(Base):
    """One recorded change of a task's status."""

    __tablename__ = "task_events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger,
        sa.Identity(always=True),
        primary_key=True,
        comment="Drawn under the task's row lock: a task's events are in the order of their ids",
    )
    at: Mapped[datetime] = mapped_column(primary_key=True, comment="When the change was made; partitions are by day")
    task_id: Mapped[UUID] = mapped_column(comment="The task")
    type: Mapped[str] = mapped_column(comment="Its type")
    status: Mapped[str] = mapped_column(comment="Its status from here on")
    previous_status: Mapped[str | None] = mapped_column(comment="Its status before; null: it was submitted")
    attempt: Mapped[int] = mapped_column(comment="Number of the attempt it had reached")
    worker: Mapped[str | None] = mapped_column(comment="The worker that claimed or ran the attempt")
    detail: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="The failure (error), the reason, a payload that was replaced"
    )
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of the task's owner; null: the service")
    # The trigger does not name it: the default does (0009_guard.sql).
    db_user: Mapped[str | None] = mapped_column(
        server_default=sa.text(
            "CASE WHEN current_setting('taskledger.service', true) = 'on' THEN NULL ELSE session_user::text END"
        ),
        comment="The database user who made the change through SQL; null: the service",
    )

    __table_args__ = (
        sa.Index("ix_task_events_task_id_id", "task_id", "id"),
        {"comment": "History of every task's status, by day", "postgresql_partition_by": "RANGE (at)"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRecord:
    """One row of `task_events`, detached from any transaction."""

    id: int
    at: datetime
    task_id: UUID
    type: str
    status: str
    previous_status: str | None
    attempt: int
    worker: str | None
    detail: dict[str, Any] | None
    owner_id: UUID | None = None
    db_user: str | None = None
