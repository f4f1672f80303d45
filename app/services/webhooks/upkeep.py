"""Upkeep of deliveries: those of earlier releases come under their receivers' limits, and none waits for ever."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import Session
from app.services import circuits, lifecycle
from app.services.circuits import DELIVERY_QUEUE, DELIVERY_TYPE

MAX_WAIT = timedelta(days=7)

_EARLIER = sa.text("""
    SELECT tasks.id, d.webhook_id, d.owner_id, d.url
    FROM tasks
    JOIN webhook_deliveries AS d ON d.task_id = tasks.id
    WHERE tasks.due_at IS NOT NULL AND NOT tasks.gated AND tasks.type = :type
    ORDER BY tasks.id
    LIMIT :limit
    FOR UPDATE OF tasks SKIP LOCKED
""")
_ADOPT = sa.text("""
    UPDATE tasks
    SET queue = :queue, owner_id = known.owner_id, concurrency_key = known.key
    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:owners AS uuid[])) AS known (id, key, owner_id)
    WHERE tasks.id = known.id
""")


def adopt_earlier(session: Session, *, limit: int) -> int:
    """Bring deliveries that a release before has submitted under the limits of their receivers; returns how many."""
    rows = session.execute(_EARLIER, {"type": DELIVERY_TYPE, "limit": limit}).mappings().all()
    if rows:
        values = {
            "queue": DELIVERY_QUEUE,
            "ids": [row["id"] for row in rows],
            "keys": [circuits.of_delivery(row).key for row in rows],
            "owners": [row["owner_id"] for row in rows],
        }
        session.execute(_ADOPT, values)
        lifecycle.require_admission(session, values["ids"])
    return len(rows)


_WAITED = sa.text("""
    SELECT tasks.id
    FROM admissions
    JOIN webhook_endpoints AS e ON e.key = admissions.key AND e.state <> 'closed'
    JOIN tasks ON tasks.id = admissions.task_id
    WHERE admissions.state = 'held' AND admissions.type = :type AND tasks.created_at < :before
    ORDER BY tasks.id
    LIMIT :limit
""")


def give_up(session: Session, *, now: datetime, limit: int) -> int:
    """Cancel deliveries that have waited for a week for a receiver that never came back; returns how many.

    They stay in the delivery log, and can be sent again from there.
    """
    values = {"type": DELIVERY_TYPE, "before": now - MAX_WAIT, "limit": limit}
    ids = list(session.scalars(_WAITED, values))
    if not ids:
        return 0
    reason = f"given up: its receiver has not answered within {MAX_WAIT.days} days"
    return len(lifecycle.cancel(session, ids, reason=reason, now=now))
