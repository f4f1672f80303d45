"""Creating requests that carry an Idempotency-Key: repeated ones create nothing."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import ScheduleRecord, Task, WorkflowRun
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
    numbers_name: bool = False,
) -> tuple[ScheduleRecord, bool]:
    """Store a schedule, or return the one that an earlier request with the same key made; and whether it is new.

    Raises what `create` raises, Refused for a key that was used with another body, Gone for a deleted schedule.
    """

    def create_new(schedule_id: UUID) -> ScheduleRecord:
        return create(
            session,
            wanted,
            schedule_id=schedule_id,
            owner_id=owner_id,
            most=most,
            now=now,
            allowance=allowance,
            numbers_name=numbers_name,
        )

    def find(schedule_id: UUID) -> ScheduleRecord:
        return read(session, schedule_id, visible_to=owner_id)

    return idempotency.once(session, key, create=create_new, find=find, what="schedule", now=now)


def run_once_now(
    session: Session,
    schedule_id: UUID,
    *,
    key: Key | None,
    visible_to: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[UUID, bool]:
    """Run a schedule now, unless an earlier request with the same key did; what it started, and whether that is new."""

    def run(draft_id: UUID) -> UUID:
        return run_now(session, schedule_id, draft_id=draft_id, visible_to=visible_to, now=now, allowance=allowance).id

    def find(id_: UUID) -> UUID | None:
        stands = any(session.scalar(sa.select(sa.exists().where(kind.id == id_))) for kind in (Task, WorkflowRun))
        return id_ if stands else None

    return idempotency.once(session, key, create=run, find=find, what="task", now=now)
