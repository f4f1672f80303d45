"""The compensations table: which task undoes which."""

from datetime import datetime
from uuid import UUID

from app.database import Base, Mapped, mapped_column


class Compensation(Base):
    """One completed task that is, or was, undone: by one task, however often that was asked for."""

    __tablename__ = "compensations"

    task_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The task that is undone")
    compensation_id: Mapped[UUID] = mapped_column(comment="The task that undoes it")
    requested_at: Mapped[datetime] = mapped_column(comment="When undoing it was first asked for")
    done_at: Mapped[datetime | None] = mapped_column(comment="When it was undone; null: not yet")

    __table_args__ = ({"comment": "Tasks that are undone, each by one other task"},)
