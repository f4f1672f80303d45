"""How much of its quotas an account has used."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from app.config import Settings
from app.database import Session
from app.models import StoredBytes, UserRecord
from app.services.accounts import quotas

STORED = StoredBytes.metadata.tables["stored_bytes"]
_OWN_QUOTA = sa.text("SELECT max_stored_bytes FROM users WHERE id = :id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """How much is used of how much; `allowed` None: there is no quota."""

    used: int
    allowed: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Of an account."""

    waiting_tasks: Used
    stored_bytes: Used


def of_account(session: Session, account: UserRecord, *, settings: Settings) -> Usage:
    """What an account uses now of its quotas, and how much they allow."""
    return Usage(
        waiting_tasks=Used(
            used=quotas.places_taken(session, account.id),
            allowed=_allowed(account.max_waiting_tasks, settings.max_waiting_tasks),
        ),
        stored_bytes=Used(
            used=stored_bytes(session, account.id),
            allowed=_allowed(account.max_stored_bytes, settings.max_stored_bytes),
        ),
    )


def stored_bytes(session: Session, owner_id: UUID) -> int:
    """The size of all files of an account that can be read, in bytes."""
    return session.scalar(sa.select(STORED.c.bytes).where(STORED.c.owner_id == owner_id)) or 0


def stored_bytes_allowed(session: Session, owner_id: UUID, *, settings: Settings) -> int | None:
    """How many bytes of files an account may have stored; None: there is no quota."""
    return _allowed(session.scalar(_OWN_QUOTA, {"id": owner_id}), settings.max_stored_bytes)


def _allowed(own: int | None, services: int) -> int | None:
    return (services if own is None else own) or None
