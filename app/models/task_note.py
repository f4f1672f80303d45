"""The task_notes table: facts that a handler keeps between its attempts."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column


class TaskNote(Base):
    """Something that has happened outside, and that no later attempt shall do again."""

    __tablename__ = "task_notes"

    task_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, comment="The task"
    )
    key: Mapped[str] = mapped_column(primary_key=True, comment="What has happened, in the handler's words")
    value: Mapped[Any] = mapped_column(JSONB, comment="What is known of it")
    at: Mapped[datetime] = mapped_column(comment="When it was noted")

    __table_args__ = ({"comment": "What handlers keep between attempts: effects that must not be repeated"},)
