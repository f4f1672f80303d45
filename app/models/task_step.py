"""The task_steps table: what a task has behind it, for its next attempt."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column


class TaskStep(Base):
    """Something that a handler has done, or waits for, under a name of its own."""

    __tablename__ = "task_steps"

    task_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, comment="The task"
    )
    name: Mapped[str] = mapped_column(
        primary_key=True, comment="What its handler calls it; #checkpoint is what task.checkpoint() keeps"
    )
    seq: Mapped[int] = mapped_column(comment="Order in which the handler came to it; 0 of a checkpoint")
    kind: Mapped[str] = mapped_column(comment="once, sleep, signal, call, gather, run or checkpoint")
    state: Mapped[str] = mapped_column(comment="BEGUN, DONE, FAILED or UNDONE")
    digest: Mapped[str | None] = mapped_column(comment="Of what was asked for, so that another question is noticed")
    result: Mapped[Any | None] = mapped_column(JSONB, comment="What came of it; of a checkpoint the value that is kept")
    error: Mapped[Any | None] = mapped_column(JSONB, comment="What it failed with")
    child_id: Mapped[UUID | None] = mapped_column(comment="The task that does it")
    released_at: Mapped[datetime | None] = mapped_column(comment="When that task was let start")
    ended_at: Mapped[datetime | None] = mapped_column(comment="When it ended; of a checkpoint when it was written")
    undo: Mapped[Any | None] = mapped_column(JSONB, comment="The task that takes it back")
    until: Mapped[datetime | None] = mapped_column(comment="Until when is waited")

    __table_args__ = (
        sa.CheckConstraint(
            "kind IN ('once', 'sleep', 'signal', 'call', 'gather', 'run', 'checkpoint')", name="kind_known"
        ),
        sa.CheckConstraint("state IN ('BEGUN', 'DONE', 'FAILED', 'UNDONE')", name="state_known"),
        # Serves the release of children one after the other, and the wake-up of who waits for them.
        sa.Index(
            "ix_task_steps_open",
            "task_id",
            "seq",
            postgresql_where=sa.text("child_id IS NOT NULL AND ended_at IS NULL"),
        ),
        {
            "comment": "What tasks have behind them, for their next attempt: steps of durable handlers, checkpoints "
            "of long ones",
            "postgresql_with": {"fillfactor": "80"},
        },
    )
