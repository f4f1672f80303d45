"""Creating requests that carry an Idempotency-Key: repeated ones create nothing."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Gone, NotFound
from app.models import ScheduleRecord, Task, WorkflowRun, new_id
from app.services import idempotency
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.idempotency import Key
from app.services.schedules.changing import NewSchedule, create, run_now
from app.services.schedules.reading import read


def create_once(
    session: Session,
    wanted: NewSchedule,
    *,
    key: Key | None,
    owner_id: UUID | None,
    most: int,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[ScheduleRecord, bool]:
    """Store a schedule, or return the one that an earlier request with the same key made; and whether it is new.

    Raises what `create` raises, Refused for a key that was used with another body, Gone for a deleted schedule.
    """
    schedule_id = new_id()
    first = idempotency.first_use(session, key, schedule_id, now=now) if key else None
    if first is None:
        made = create(
            session, wanted, schedule_id=schedule_id, owner_id=owner_id, most=most, now=now, allowance=allowance
        )
        return made, True
    try:
        return read(session, first, seen_by=owner_id), False
    except NotFound:
        raise Gone(f"This Idempotency-Key made the schedule {first}, which has been deleted; use a new key.") from None


def run_once_now(
    session: Session,
    schedule_id: UUID,
    *,
    key: Key | None,
    seen_by: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[UUID, bool]:
    """Run a schedule now, unless an earlier request with the same key did; what it started, and whether that is new."""
    draft_id = new_id()
    first = idempotency.first_use(session, key, draft_id, now=now) if key else None
    if first is None:
        made = run_now(session, schedule_id, draft_id=draft_id, seen_by=seen_by, now=now, allowance=allowance)
        return made.id, True
    if not any(session.scalar(sa.select(sa.exists().where(kind.id == first))) for kind in (Task, WorkflowRun)):
        raise Gone(f"This Idempotency-Key made the task {first}, which has been deleted; use a new key.")
    return first, False
