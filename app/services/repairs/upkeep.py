"""Forgetting repairs that were over long ago, with their tasks' old payloads, a batch at a time."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session

_OLD = sa.text("""
    SELECT id
    FROM repairs
    WHERE settled AND finished_at < :before
    ORDER BY id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
""")
_ITEMS = sa.text("""
    DELETE FROM repair_items
    WHERE repair_id = :id
        AND task_id = ANY(ARRAY(SELECT task_id FROM repair_items WHERE repair_id = :id ORDER BY task_id LIMIT :limit))
    RETURNING 1
""")
_REPAIR = sa.text("DELETE FROM repairs WHERE id = :id")


def prune(session: Session, *, before: datetime, limit: int) -> int:
    """Delete a batch of the oldest repair that was over before a moment; returns how many rows went."""
    repair_id = session.scalar(_OLD, {"before": before})
    if repair_id is None:
        return 0
    items = len(session.execute(_ITEMS, {"id": repair_id, "limit": limit}).all())
    if items < limit:
        session.execute(_REPAIR, {"id": repair_id})
    return items + 1
