"""The audit log: what accounts and admins did that others may have to answer for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column


class AuditEntry(Base):
    """One action. Triggers refuse to change or remove it, and chain it to the one before."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order of writing"
    )
    at: Mapped[datetime] = mapped_column(comment="When")
    action: Mapped[str] = mapped_column(comment="What, such as user.role_changed")
    actor_id: Mapped[UUID | None] = mapped_column(comment="users.id of who did it; null: the command line, or unknown")
    key_id: Mapped[UUID | None] = mapped_column(comment="api_keys.id it was done with; null: a log-in")
    subject: Mapped[str | None] = mapped_column(comment="What it was done to, such as user:<id>")
    address: Mapped[str | None] = mapped_column(comment="Where the request came from")
    request_id: Mapped[str | None] = mapped_column(comment="X-Request-ID, to find it in the logs")
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}", comment="What else; never a secret")
    previous_hash: Mapped[bytes | None] = mapped_column(comment="hash of the entry before; empty: the first")
    hash: Mapped[bytes | None] = mapped_column(comment="SHA-256 of previous_hash and of this entry")

    __table_args__ = ({"comment": "Administrative and account actions; rows are only ever added"},)


class AuditChain(Base):
    """Both ends of the chain of entries: one row, which triggers keep."""

    __tablename__ = "audit_chain"

    id: Mapped[int] = mapped_column(
        sa.SmallInteger, primary_key=True, autoincrement=False, comment="1: there is one row"
    )
    last_id: Mapped[int] = mapped_column(sa.BigInteger, comment="audit_log.id of the newest entry; 0: none")
    last_hash: Mapped[bytes] = mapped_column(comment="Its hash; empty: none")
    pruned_id: Mapped[int] = mapped_column(sa.BigInteger, comment="Entries up to this id were pruned; 0: none")
    pruned_hash: Mapped[bytes] = mapped_column(comment="hash of the last that was pruned")

    __table_args__ = (
        sa.CheckConstraint("id = 1", name="one_row"),
        {"comment": "Where the chain of audit_log begins and ends; entries that are added wait for each other here"},
    )


class AuditNote(Base):
    """One entry of a transaction through SQL that is not committed yet; a deferred trigger makes it one of the log."""

    __tablename__ = "audit_notes"

    id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Order of writing"
    )
    at: Mapped[datetime] = mapped_column(comment="When")
    action: Mapped[str] = mapped_column(comment="What, such as admin.cancel_task")
    actor_id: Mapped[UUID | None] = mapped_column(comment="users.id that the role stands for; null: the service itself")
    subject: Mapped[str | None] = mapped_column(comment="What it was done to, such as task:<id>")
    detail: Mapped[dict[str, Any]] = mapped_column(comment="What else; db_user is the role")

    __table_args__ = (
        {
            "comment": "Entries of transactions through SQL that are not committed yet: "
            "each becomes one of audit_log with the commit"
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One entry, detached from any transaction; fields as the columns."""

    id: int
    at: datetime
    action: str
    actor_id: UUID | None
    key_id: UUID | None
    subject: str | None
    address: str | None
    request_id: str | None
    detail: dict[str, Any]
