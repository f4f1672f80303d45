"""The signals table: what was sent to tasks and runs that wait, or will."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Base, Mapped, mapped_column


class Signal(Base):
    """Something that was sent to a task or run, under a name; whoever waits for it takes it once."""

    __tablename__ = "signals"

    # No foreign key: it is a task or a run.
    target: Mapped[UUID] = mapped_column(primary_key=True, comment="The task or run that it was sent to")
    name: Mapped[str] = mapped_column(primary_key=True, comment="What is waited for")
    id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order of arrival"
    )
    data: Mapped[Any | None] = mapped_column(
        JSONB, comment="What was sent; encrypted where the task is of a sensitive type"
    )
    key: Mapped[str | None] = mapped_column(comment="What the sender calls it, so that it is kept once; null: nothing")
    sent_by: Mapped[UUID | None] = mapped_column(comment="users.id of who sent it; null: the service itself")
    at: Mapped[datetime] = mapped_column(comment="When it was sent")
    taken_by: Mapped[str | None] = mapped_column(comment="The step that has taken it; null: none has yet")

    __table_args__ = (
        sa.UniqueConstraint("target", "key"),
        {
            "comment": "What was sent to tasks and runs that wait, or will; a signal is taken once, in the order of "
            "arrival"
        },
    )
