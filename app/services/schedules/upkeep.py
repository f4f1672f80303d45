"""Keeping next moments true to zone data, which changes a few times a year; forgetting old slots."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.errors import Refused
from app.models import ScheduleRecord
from app.services.schedules.rule import Rule

FIRST_ID = UUID(int=0)

_NEXT_BATCH = sa.text(
    "SELECT * FROM schedules WHERE enabled AND cron IS NOT NULL AND id > :after ORDER BY id LIMIT :limit"
)
# Guarded: a schedule that was fired or changed meanwhile has been computed anew already.
_MOVE = sa.text("""
    UPDATE schedules
    SET next_at = moved.next_at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS moved(id uuid, accounted_until timestamptz, next_at timestamptz)
    WHERE schedules.id = moved.id AND schedules.accounted_until = moved.accounted_until AND schedules.enabled
    RETURNING schedules.id
""")
_FORGET = sa.text("""
    DELETE FROM schedule_slots
    WHERE ctid = ANY(
        ARRAY(SELECT ctid FROM schedule_slots WHERE recorded_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED)
    )
    RETURNING 1
""")


def recompute(session: Session, *, after: UUID, now: datetime, limit: int) -> tuple[int, UUID | None]:
    """Compute the next moments of a batch anew: how many have moved, and the id to go on after, None at the end."""
    rows = session.execute(_NEXT_BATCH, {"after": after, "limit": limit}).mappings()
    schedules = [ScheduleRecord.of(row) for row in rows]
    moved = [
        {"id": str(each.id), "accounted_until": each.accounted_until.isoformat(), "next_at": at and at.isoformat()}
        for each in schedules
        if (at := _next(each, now)) != each.next_at
    ]
    done = len(session.execute(_MOVE, {"rows": to_json(moved)}).all()) if moved else 0
    return done, schedules[-1].id if len(schedules) == limit else None


def prune_slots(session: Session, *, before: datetime, limit: int) -> int:
    """Forget slots that were recorded before a moment; returns how many."""
    return len(session.execute(_FORGET, {"before": before, "limit": limit}).all())


def _next(schedule: ScheduleRecord, now: datetime) -> datetime | None:
    try:
        return Rule.of(schedule).after(schedule.accounted_until)
    except Refused:
        return now  # its turn comes at once, and says what is wrong
