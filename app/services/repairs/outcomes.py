"""How the first attempts after a repair's replays have ended, read off the history of its tasks."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.models import RepairOutcome as Outcome
from app.models import RepairRecord
from app.services.repairs.records import REPAIRS

# What ended an attempt is the first event that left PROCESSING with its number, but for one that gave it back. Whoever
# was replayed again meanwhile, has suspended itself or was deleted has left that event, too. Only tasks are asked for
# that have moved since their replay.
_LOOK = sa.text(f"""
    WITH ended AS (
        SELECT i.task_id, CASE
            WHEN e.status IN ('RETRYING', 'FAILED') THEN '{Outcome.FAILED}'
            WHEN e.status = 'CANCELLED' THEN '{Outcome.CANCELLED}'
            WHEN e.status IS NOT NULL THEN '{Outcome.WELL}'
            WHEN t.id IS NULL OR t.status IN ('CANCELLED', 'FAILED') THEN '{Outcome.CANCELLED}'
            END AS outcome
        FROM repair_items AS i
        LEFT JOIN tasks AS t ON t.id = i.task_id
        LEFT JOIN LATERAL (
            SELECT status
            FROM task_events
            WHERE task_id = i.task_id
                AND at >= i.replayed_at - interval '1 minute'
                AND attempt = i.attempt + 1
                AND previous_status = 'PROCESSING'
                AND status <> 'PENDING'
            ORDER BY id
            LIMIT 1
        ) AS e ON true
        WHERE i.repair_id = :id
            AND i.replayed_at IS NOT NULL
            AND i.outcome IS NULL
            AND (t.id IS NULL OR t.attempt > i.attempt OR t.status IN ('CANCELLED', 'FAILED'))
    )
    UPDATE repair_items AS item
    SET outcome = ended.outcome, ended_at = :now
    FROM ended
    WHERE item.repair_id = :id AND item.task_id = ended.task_id AND ended.outcome IS NOT NULL
    RETURNING ended.outcome
""")


def look(session: Session, repair: RepairRecord, *, now: datetime) -> RepairRecord:
    """Note which of its tasks have ended; returns the repair, which the caller has locked, with its new counts."""
    if not repair.unended:
        return repair
    counts = Counter(session.scalars(_LOOK, {"id": repair.id, "now": now}))
    if not counts:
        return repair
    looked_at = replace(
        repair,
        well=repair.well + counts[Outcome.WELL],
        failed=repair.failed + counts[Outcome.FAILED],
        cancelled=repair.cancelled + counts[Outcome.CANCELLED],
        unended=repair.unended - counts.total(),
    )
    changed = {name: getattr(looked_at, name) for name in ("well", "failed", "cancelled", "unended")}
    session.execute(sa.update(REPAIRS).where(REPAIRS.c.id == repair.id).values(changed))
    return looked_at
