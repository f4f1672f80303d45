"""Of whom work is: whether it may still be started, and counting what somebody has."""

from uuid import UUID

import sqlalchemy as sa

from app.database import Base, Session

_OWNER = sa.text("SELECT owner_id FROM tasks WHERE id = :id")
_ONE_BY_ONE = sa.text("SELECT pg_advisory_xact_lock(hashtext(:what), hashtext(:owner))")


def owner_is_active(session: Session, owner_id: UUID | None) -> bool:
    """Whether this account may start work: it is open, or there is none (the system, or before accounts)."""
    users = Base.metadata.tables.get("users")
    if owner_id is None or users is None:
        return True
    return session.scalar(sa.select(users.c.disabled_at.is_(None)).where(users.c.id == owner_id)) is True


def owner_of(session: Session, task_id: UUID) -> UUID | None:
    """Whose task it is; None for the system's, and for one that is not there."""
    owner_id: UUID | None = session.scalar(_OWNER, {"id": task_id})
    return owner_id


def lock_owner_count(session: Session, what: str, owner_id: UUID | None) -> None:
    """Until the transaction ends, nobody else who asks for this lock makes such a thing for this owner.

    For limits: two requests at once would each count what is there, and both find room for one more. `what` is a table.
    """
    session.connection().execute(_ONE_BY_ONE, {"what": f"taskledger.{what}", "owner": str(owner_id)})
