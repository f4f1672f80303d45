"""Whether somebody's work may still be started."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Base


def owner_is_active(session: Session, owner_id: UUID | None) -> bool:
    """Whether this account may start work: it is open, or there is none (the system, or before accounts)."""
    users = Base.metadata.tables.get("users")
    if owner_id is None or users is None:
        return True
    return session.scalar(sa.select(users.c.disabled_at.is_(None)).where(users.c.id == owner_id)) is True
