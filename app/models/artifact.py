"""The artifacts table: stored files; their content lies in the store under the row's id."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class StoredBytes(Base):
    """How much an account has stored."""

    __tablename__ = "stored_bytes"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True, comment="users.id")
    bytes: Mapped[int] = mapped_column(sa.BigInteger, comment="Size of all files that can be read")

    __table_args__ = (
        {
            "comment": "Bytes of stored files by account; kept by triggers on artifacts",
            "postgresql_with": {"fillfactor": "50"},
        },
    )


class Artifact(Base):
    """One stored file. It is there while `stored_at` is set; `remove_at` is when content and row are removed."""

    __tablename__ = "artifacts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7; names the content in the store")
    owner_id: Mapped[UUID | None] = mapped_column(comment="Whose it is (users.id); null: submitted by the system")
    task_id: Mapped[UUID | None] = mapped_column(comment="The task that saved it; null: it was uploaded")
    name: Mapped[str] = mapped_column(comment="File name, for people; never a path")
    media_type: Mapped[str] = mapped_column(comment="What kind of file it is said to be")
    size: Mapped[int | None] = mapped_column(sa.BigInteger, comment="Bytes; null while it is being stored")
    sha256: Mapped[str | None] = mapped_column(comment="Of its content, hexadecimal; null while it is being stored")
    created_at: Mapped[datetime] = mapped_column(comment="When storing it began")
    stored_at: Mapped[datetime | None] = mapped_column(comment="When it was there; null: not yet, or no more")
    remove_at: Mapped[datetime | None] = mapped_column(comment="When content and row are removed; null: never")

    __table_args__ = (
        # Serves the list of an owner's files, newest first.
        sa.Index("ix_artifacts_owner_id_id", "owner_id", "id", postgresql_where=sa.text("stored_at IS NOT NULL")),
        # A task that saves a name again replaces the file, so that its attempts leave one.
        sa.Index(
            "uq_artifacts_task_id_name",
            "task_id",
            "name",
            unique=True,
            postgresql_where=sa.text("task_id IS NOT NULL AND stored_at IS NOT NULL"),
        ),
        # Serves the retention duty.
        sa.Index("ix_artifacts_remove_at", "remove_at", postgresql_where=sa.text("remove_at IS NOT NULL")),
        sa.CheckConstraint(
            "stored_at IS NULL OR (size IS NOT NULL AND sha256 IS NOT NULL)", name="measured_when_stored"
        ),
        sa.CheckConstraint("stored_at IS NOT NULL OR remove_at IS NOT NULL", name="removed_unless_stored"),
        {"comment": "Files that were uploaded or that tasks made; the content is in the store"},
    )
