"""Retention: removes what has expired, was deleted, was replaced, or never arrived completely."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.services.artifacts.store import Store

REMOVABLE = sa.text("""
    SELECT id
    FROM artifacts
    WHERE remove_at <= :now AND stored_at IS NULL
    ORDER BY remove_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
""")
REMOVE = sa.text("DELETE FROM artifacts WHERE id = ANY(CAST(:ids AS uuid[]))")
EXPIRE = sa.text("""
    WITH expired AS (
        SELECT id
        FROM artifacts
        WHERE remove_at <= :now AND stored_at IS NOT NULL
        ORDER BY remove_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE artifacts
    SET stored_at = NULL
    FROM expired
    WHERE artifacts.id = expired.id
""")


def sweep(session: Session, store: Store, *, now: datetime, limit: int = 100) -> int:
    """Remove content, then rows, of what is gone; then hide what has expired. Returns how many rows it changed.

    Hiding and removing are two transactions (two calls), so that a row that can be read always has its content. Call
    it again while it returns more than 0. Raises StoreAway; what was not removed stays for the next call.
    """
    ids = list(session.scalars(REMOVABLE, {"now": now, "limit": limit}))
    for id_ in ids:
        store.remove(id_)
    if ids:
        session.execute(REMOVE, {"ids": ids})
    hidden = session.connection().execute(EXPIRE, {"now": now, "limit": limit})
    return len(ids) + hidden.rowcount
