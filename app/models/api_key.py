"""API keys: how programs say who they are."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class Scope(StrEnum):
    """What a key may be used for; `admin` includes the others, and needs an admin's account as `work` does."""

    READ = "tasks:read"
    WRITE = "tasks:write"
    WORK = "work"
    ADMIN = "admin"


class ApiKey(Base):
    """One key of one account; the key itself is not kept."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7")
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), index=True, comment="Whose key it is")
    name: Mapped[str] = mapped_column(comment="What it is for, in its owner's words")
    prefix: Mapped[str] = mapped_column(comment="The first characters of the key, to recognise it by")
    digest: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the key")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="What it may be used for")
    allowed_types: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Task types that it may be used for; null: all of its account's"
    )
    allowed_queues: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Queues whose task types it may be used for; null: all of its account's"
    )
    created_at: Mapped[datetime] = mapped_column(comment="When it was made")
    expires_at: Mapped[datetime | None] = mapped_column(comment="Refused from then on; null: never")
    revoked_at: Mapped[datetime | None] = mapped_column(comment="When it was revoked; null: it is not")
    last_used_at: Mapped[datetime | None] = mapped_column(comment="Last use, written at most once a minute")

    __table_args__ = (
        sa.CheckConstraint("scopes <@ ARRAY['tasks:read', 'tasks:write', 'work', 'admin']", name="scopes_known"),
        sa.CheckConstraint("cardinality(scopes) > 0", name="scopes_not_empty"),
        {"comment": "API keys; shown once when they are made, stored as a digest"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyRecord:
    """One key as its owner sees it again, detached from any transaction."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    allowed_types: list[str] | None
    allowed_queues: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
