"""Accounts: who may log in, as what, and since when their tokens count."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class Role(StrEnum):
    """What an account may do: a user sees and changes what is theirs, an admin everything."""

    USER = "user"
    ADMIN = "admin"


class User(Base):
    """One account."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7; owner_id of what is theirs")
    email: Mapped[str] = mapped_column(comment="As it was given; unique regardless of case")
    name: Mapped[str] = mapped_column(comment="What to call them")
    password_hash: Mapped[str] = mapped_column(comment="argon2id, with its parameters")
    role: Mapped[str] = mapped_column(comment="user or admin")
    token_version: Mapped[int] = mapped_column(
        server_default="0", comment="Access tokens carry it; raising it ends all that were given out"
    )
    max_waiting_tasks: Mapped[int | None] = mapped_column(comment="A quota of their own; null: MAX_WAITING_TASKS")
    max_stored_bytes: Mapped[int | None] = mapped_column(
        sa.BigInteger, comment="A quota of their own for stored files; null: MAX_STORED_BYTES"
    )
    allowed_types: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Task types that they may use; null: all"
    )
    allowed_queues: Mapped[list[str] | None] = mapped_column(
        ARRAY(sa.Text), comment="Queues whose task types they may use; null: all"
    )
    may_reach_outside: Mapped[bool | None] = mapped_column(
        server_default=sa.true(), comment="Whether an admin lets them reach outside; null: NEW_ACCOUNTS_REACH_OUTSIDE"
    )
    created_at: Mapped[datetime] = mapped_column(comment="When they registered")
    updated_at: Mapped[datetime] = mapped_column(comment="Last change of the account")
    last_login_at: Mapped[datetime | None] = mapped_column(comment="Last log-in with a password")
    disabled_at: Mapped[datetime | None] = mapped_column(comment="When an admin closed the account; null: it is open")

    __table_args__ = (
        # Serves logging in, and keeps addresses unique regardless of case.
        sa.Index("uq_users_email_lower", sa.text("lower(email)"), unique=True),
        sa.CheckConstraint("role IN ('admin', 'user')", name="role_known"),
        sa.CheckConstraint("max_waiting_tasks >= 0", name="max_waiting_tasks_not_negative"),
        sa.CheckConstraint("max_stored_bytes >= 0", name="max_stored_bytes_not_negative"),
        {"comment": "Accounts; they are closed, never deleted, because tasks and the audit log name them"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRecord:
    """One account, detached from any transaction; without its password hash."""

    id: UUID
    email: str
    name: str
    role: str
    max_waiting_tasks: int | None
    max_stored_bytes: int | None
    allowed_types: list[str] | None
    allowed_queues: list[str] | None
    may_reach_outside: bool | None
    created_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None
