"""The task_children table: which tasks a task's handler submitted."""

from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column


class TaskChild(Base):
    """A task that the handler of another submitted; kept as long as the other, so that no attempt submits it twice."""

    __tablename__ = "task_children"

    parent_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("tasks.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The task whose handler submitted the other",
    )
    # No foreign key: a child may be deleted before its parent, whose next attempt must not submit it anew.
    child_id: Mapped[UUID] = mapped_column(
        primary_key=True, comment="The task that was submitted; it may be gone already"
    )
    type: Mapped[str] = mapped_column(comment="Its task type")
    key: Mapped[str | None] = mapped_column(comment="What the handler calls it, on every attempt; null: nothing")

    __table_args__ = (
        # Serves every attempt that submits: what an earlier one has submitted under the same key.
        sa.Index(
            "uq_task_children_parent_id_key",
            "parent_id",
            "key",
            unique=True,
            postgresql_where=sa.text("key IS NOT NULL"),
        ),
        {"comment": "Tasks that handlers submitted, by the task whose handler did; they go with it"},
    )
