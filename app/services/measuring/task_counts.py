"""How many tasks are FAILED or PENDING, by type."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import NOT_PARKED, Status
from app.services.measuring import levels

_FAILED = sa.text("""
    SELECT type, count(*) AS tasks
    FROM tasks
    WHERE status = 'FAILED' AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
    GROUP BY type
    ORDER BY type
""")
_PENDING = sa.text(f"""
    SELECT type, count(*) AS tasks
    FROM tasks
    WHERE {NOT_PARKED} AND status = 'PENDING' AND owner_id = :owner
    GROUP BY type
    ORDER BY type
""")


def failed(session: Session, *, owner: UUID | None) -> dict[str, int]:
    """The dead letters of one account, or everybody's (`owner` None)."""
    rows: Any = session.execute(_FAILED, {"owner": owner}).all()
    return dict(rows)


def pending(session: Session, *, owner: UUID | None, now: datetime) -> dict[str, int]:
    """What waits for a worker, of one account or of everybody (as measured a moment ago)."""
    if owner is None:
        return dict(sorted(levels.read(session, now=now).by("type", Status.PENDING).items()))
    rows: Any = session.execute(_PENDING, {"owner": owner}).all()
    return dict(rows)
