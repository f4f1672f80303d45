"""One step of a repair, made again and again by a duty: look what became of its tasks, decide, go on.

Lock order: the repair, then tasks in the order of their ids. Nothing else locks both.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import Settings
from app.database import Session
from app.models import RepairRecord, RepairStatus, Role
from app.models.repair import REPAIR_COLUMNS
from app.services.accounts import quotas, rights
from app.services.accounts.rights import TypeNotAllowed
from app.services.repairs import outcomes, pacing, replaying, undoing
from app.services.repairs.pacing import Move
from app.services.repairs.records import REPAIRS
from app.services.repairs.steering import ENDED, go_by_itself

BATCH = 200
S = RepairStatus
_UNSETTLED = sa.text("SELECT id FROM repairs WHERE NOT settled ORDER BY id")
_OWNER = sa.text("SELECT role, disabled_at FROM users WHERE id = :id")
_TAKE = sa.select(*REPAIR_COLUMNS).with_for_update(skip_locked=True, of=REPAIRS)


def unsettled(session: Session) -> list[UUID]:
    """The repairs of which something has to be looked at, oldest first."""
    return list(session.scalars(_UNSETTLED))


def step(session: Session, repair_id: UUID, *, settings: Settings, now: datetime) -> int:
    """Make one step of one repair; returns how many of its tasks it has moved, 0 where another process is at it."""
    row = session.execute(_TAKE.where(REPAIRS.c.id == repair_id)).mappings().first()
    if row is None or row["is_settled"]:
        return 0
    repair = outcomes.look(session, RepairRecord.of(row), now=now)
    if repair.status == S.UNDOING:
        return undoing.undo_batch(session, repair, now=now)
    move = _refusal(session, repair, settings) or pacing.next_move(repair, now=now)
    if move is not None:
        go_by_itself(session, repair, move, now=now)
        return 1
    if repair.status in ENDED and repair.unended == 0:
        _write(session, repair, settled=True)
        return 0
    return _replay(session, repair, settings, now)


def _refusal(session: Session, repair: RepairRecord, settings: Settings) -> Move | None:
    """Stop when who has started it may not do so any more."""
    if repair.status not in (S.CANARY, S.RUNNING):
        return None
    owner = session.execute(_OWNER, {"id": repair.owner_id}).first()
    if owner is None or owner.disabled_at is not None:
        return Move(status=S.STOPPED, reason="the account that has started it is closed")
    if repair.visible_to is None and owner.role != Role.ADMIN:
        return Move(status=S.STOPPED, reason="the account that has started it is not an admin any more")
    try:
        rights.check_names(rights.of_account(session, repair.owner_id, settings=settings), [repair.type])
    except TypeNotAllowed as error:
        return Move(status=S.STOPPED, reason=str(error))
    return None


def _replay(session: Session, repair: RepairRecord, settings: Settings, now: datetime) -> int:
    credit = pacing.earned(repair, now=now)
    most = pacing.room(repair, credit, most=BATCH)
    if not most:
        _wait(session, repair, now)
        return 0
    moved = replaying.replay_next(
        session, repair, limit=most, room_of=quotas.some_rooms(session, default=settings.max_waiting_tasks),
        max_payload_bytes=settings.max_payload_bytes, now=now,
    )  # fmt: skip
    _write(
        session,
        repair,
        credit=credit - moved.replayed,
        last_at=now,
        reason=moved.waits_for,
        remaining=repair.remaining - moved.replayed - moved.refused - moved.passed_over,
        replayed=repair.replayed + moved.replayed,
        unended=repair.unended + moved.replayed,
        refused=repair.refused + moved.refused,
        passed_over=repair.passed_over + moved.passed_over,
    )
    return moved.count


def _wait(session: Session, repair: RepairRecord, now: datetime) -> None:
    """Say what it waits for; nothing is written while that is what it was."""
    if repair.status not in (S.CANARY, S.RUNNING):
        return
    canary_at = (repair.canary_at or now) if pacing.waits_for_canary(repair) else None
    reason = _waits_for(repair)
    if (canary_at, reason) != (repair.canary_at, repair.reason):
        _write(session, repair, canary_at=canary_at, reason=reason)


def _waits_for(repair: RepairRecord) -> str | None:
    if pacing.waits_for_canary(repair):
        return None
    if repair.unended >= pacing.MAX_UNENDED:
        return f"it waits until some of its tasks have ended: {repair.unended} are waiting or running"
    return None


def _write(session: Session, repair: RepairRecord, **values: Any) -> None:
    session.execute(sa.update(REPAIRS).where(REPAIRS.c.id == repair.id).values(values))
