"""Refresh tokens: each is used once and replaced; those that descend from one log-in are a family."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class RefreshToken(Base):
    """One refresh token; the token itself is not kept."""

    __tablename__ = "refresh_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7")
    family: Mapped[UUID] = mapped_column(index=True, comment="The log-in it descends from; access tokens carry it")
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), index=True, comment="Who logged in")
    digest: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the token")
    created_at: Mapped[datetime] = mapped_column(comment="When it was given out")
    began_at: Mapped[datetime] = mapped_column(
        server_default=sa.text("now()"), comment="When its log-in began, by the password"
    )
    expires_at: Mapped[datetime] = mapped_column(comment="Refused from then on")
    used_at: Mapped[datetime | None] = mapped_column(comment="When it was replaced; used again, it ends its family")
    revoked_at: Mapped[datetime | None] = mapped_column(comment="When its family was ended; null: it was not")

    __table_args__ = ({"comment": "Refresh tokens, used and unused, until they expire"},)


class LoginFailure(Base):
    """Wrong log-ins on one account from one address: both together, so that nobody can lock out somebody else."""

    __tablename__ = "login_failures"

    account: Mapped[bytes] = mapped_column(primary_key=True, comment="SHA-256 of the e-mail address, known or not")
    address: Mapped[str] = mapped_column(primary_key=True, comment="Where the log-ins came from")
    failures: Mapped[int] = mapped_column(comment="How many in a row")
    last_at: Mapped[datetime] = mapped_column(index=True, comment="The latest; forgotten a day later")

    __table_args__ = ({"comment": "Wrong log-ins, counted by account and address; each next one has to wait longer"},)
