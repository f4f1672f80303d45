"""The task_log table: lines that handlers wrote about their own work."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column


class TaskLogLine(Base):
    """One line that a handler wrote with task.log()."""

    __tablename__ = "task_log"

    id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order of writing"
    )
    task_id: Mapped[UUID] = mapped_column(comment="The task")
    attempt: Mapped[int] = mapped_column(comment="The attempt that wrote it")
    at: Mapped[datetime] = mapped_column(comment="When")
    message: Mapped[str] = mapped_column(comment="What")
    fields: Mapped[dict[str, Any]] = mapped_column(comment="Values by name")

    __table_args__ = (
        sa.Index("ix_task_log_task_id_id", "task_id", "id"),
        {"comment": "What handlers wrote with task.log(), at most 500 lines an attempt"},
    )
