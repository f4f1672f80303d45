"""Pausing, resuming, stopping and undoing a repair: by a person, or by what became of its tasks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict
from app.models import RepairRecord, RepairStatus
from app.services.accounts import audit
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.accounts.audit import COMMAND_LINE, Actor
from app.services.repairs import pacing
from app.services.repairs.pacing import Move
from app.services.repairs.records import REPAIRS, lock, read
from app.services.repairs.starting import check_free

S = RepairStatus
_GOING = frozenset({S.CANARY, S.RUNNING})
ENDED = frozenset({S.STOPPED, S.COMPLETED, S.UNDONE})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrow:
    """What a person may ask for: from these statuses; in `done` it has been done already."""

    sources: frozenset[RepairStatus]
    done: frozenset[RepairStatus]
    action: str


ARROWS = {
    "pause": _Arrow(sources=_GOING, done=frozenset({S.PAUSED}), action="repair.paused"),
    "resume": _Arrow(sources=frozenset({S.PAUSED}), done=_GOING, action="repair.resumed"),
    "stop": _Arrow(sources=_GOING | {S.PAUSED}, done=frozenset({S.STOPPED}), action="repair.stopped"),
    "undo": _Arrow(
        sources=_GOING | {S.PAUSED, S.STOPPED, S.COMPLETED},
        done=frozenset({S.UNDOING, S.UNDONE}),
        action="repair.undo_begun",
    ),
}


def steer(
    session: Session,
    repair_id: UUID,
    what: str,
    *,
    visible_to: UUID | None,
    allowance: Allowance = ANYTHING,
    actor: Actor,
    by: str | None,
    now: datetime,
) -> RepairRecord:
    """Pause, resume, stop or undo a repair; what was done already is answered as it is.

    `by`: who, for people. Raises NotFound, Conflict where the repair stands in a status that does not allow it, or
    TypeNotAllowed for one that is to go on.
    """
    arrow = ARROWS[what]
    repair = lock(session, repair_id, visible_to=visible_to)
    if repair.status in arrow.done:
        return repair
    if repair.status not in arrow.sources:
        allowed = ", ".join(sorted(arrow.sources))
        raise Conflict(f"The repair is {repair.status}; {what} is for one that is {allowed}.")
    if what == "resume":
        allowance.check_types([repair.type])
    if what == "undo":
        if not repair.unended and repair.status in ENDED:
            raise Conflict("All tasks that the repair has replayed have started: there is nothing to undo.")
        check_free(session, repair.type, visible_to=repair.visible_to, now_active=repair.id)
    go(session, repair, Move(status=_target(what, repair), reason=f"{what} by {by}" if by else None), now=now)
    audit.record(session, arrow.action, actor, now=now, subject=f"repair:{repair.id}", type=repair.type)
    return read(session, repair_id, visible_to=visible_to)


def _target(what: str, repair: RepairRecord) -> RepairStatus:
    return {"pause": S.PAUSED, "resume": pacing.resumed(repair), "stop": S.STOPPED, "undo": S.UNDOING}[what]


def go_by_itself(session: Session, repair: RepairRecord, move: Move, *, now: datetime) -> None:
    """A change that nobody has asked for; one that needs a person leaves an entry in the audit log."""
    go(session, repair, move, now=now)
    if move.reason is not None:
        told = {"type": repair.type, "status": move.status.value, "reason": move.reason}
        audit.record(session, "repair.stopped_by_itself", COMMAND_LINE, now=now, subject=f"repair:{repair.id}", **told)


def go(session: Session, repair: RepairRecord, move: Move, *, now: datetime) -> None:
    """Write the status of a repair that the caller has locked."""
    values: dict[str, Any] = {"status": move.status, "reason": move.reason}
    if move.status in _GOING:
        # The time of the pause earns nothing, and the canary is waited for anew.
        values |= {"last_at": now, "canary_at": None}
    values["finished_at"] = now if move.status in ENDED else None
    values["settled"] = move.status in ENDED and repair.unended == 0
    session.execute(sa.update(REPAIRS).where(REPAIRS.c.id == repair.id).values(values))
