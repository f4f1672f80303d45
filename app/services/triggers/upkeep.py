"""Forgetting old events, with what they matched."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.services.retention import first_id_at

# Those whose task will still apply them stay.
_FORGET = sa.text("""
    DELETE FROM outside_events
    WHERE id = ANY(
        ARRAY(
            SELECT id
            FROM outside_events
            WHERE id < :first
                AND received_at < :before
                AND (
                    applied_at IS NOT NULL
                    OR NOT EXISTS (SELECT FROM tasks WHERE tasks.id = task_id AND finished_at IS NULL)
                )
            ORDER BY id
            LIMIT :limit
            FOR UPDATE SKIP LOCKED
        )
    )
    RETURNING 1
""")


def prune(session: Session, *, before: datetime, limit: int) -> int:
    """Forget a batch of events that came before a moment; returns how many."""
    return len(session.execute(_FORGET, {"first": first_id_at(before), "before": before, "limit": limit}).all())
