"""The audit log: what accounts and admins did that others may have to answer for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class AuditEntry(Base):
    """One action. A trigger refuses to change or remove it."""

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

    __table_args__ = ({"comment": "Administrative and account actions; rows are only ever added"},)


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
