"""Undoing a repair: what has not started since its replay is a dead letter again, with the payload that it had."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import RepairRecord, RepairStatus
from app.services import lifecycle
from app.services.lifecycle import BeforeReplay, OldPayload
from app.services.repairs.pacing import Move
from app.services.repairs.records import REPAIRS
from app.services.repairs.steering import go

BATCH = 500
_UNENDED = sa.text("""
    SELECT task_id, attempt, attempt_base, failed_at, old_payload, old_schema_hash
    FROM repair_items
    WHERE repair_id = :id
        AND replayed_at IS NOT NULL
        AND outcome IS NULL
        AND (CAST(:after AS uuid) IS NULL OR task_id > :after)
    ORDER BY task_id
    LIMIT :limit
""")
_UNDONE = sa.text("""
    UPDATE repair_items
    SET outcome = 'undone', ended_at = :now
    WHERE repair_id = :id AND task_id = ANY(CAST(:ids AS uuid[]))
""")


def undo_batch(session: Session, repair: RepairRecord, *, now: datetime) -> int:
    """Undo the next few hundred replays of a repair that is UNDOING and locked; returns how many it has looked at.

    After the last of them the repair is UNDONE.
    """
    rows = session.execute(_UNENDED, {"id": repair.id, "after": repair.undone_after, "limit": BATCH}).all()
    if not rows:
        go(session, repair, Move(status=RepairStatus.UNDONE, reason=repair.reason), now=now)
        return 1
    is_patched = repair.spec["patch"] is not None
    before = [
        BeforeReplay(
            id=row.task_id,
            attempt=row.attempt,
            attempt_base=row.attempt_base,
            failed_at=row.failed_at,
            old=OldPayload(payload=row.old_payload, schema_hash=row.old_schema_hash) if is_patched else None,
        )
        for row in rows
    ]
    undone = lifecycle.unreplay(session, before)
    _note(session, repair, undone, after=rows[-1].task_id, now=now)
    return len(rows)


def _note(session: Session, repair: RepairRecord, undone: set[UUID], *, after: UUID, now: datetime) -> None:
    if undone:
        session.execute(_UNDONE, {"id": repair.id, "ids": list(undone), "now": now})
    values = {
        "undone": repair.undone + len(undone),
        "unended": repair.unended - len(undone),
        "undone_after": after,
    }
    session.execute(sa.update(REPAIRS).where(REPAIRS.c.id == repair.id).values(values))
