"""What the owner of a schedule may start when a slot fires: an open account, types it may use, room in its quota."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.config import get_settings
from app.database import Session
from app.errors import Refused
from app.models import ScheduleRecord, SlotState
from app.services.accounts import rights
from app.services.accounts.allowance import Allowance
from app.services.accounts.quotas import LaterRoom, quota_of
from app.services.accounts.rights import Rights, TypeNotAllowed
from app.services.owners import owner_is_active
from app.services.schedules import targets
from app.services.schedules.policy import Decision, Verdict

DISABLED = "the owner's account is disabled"
NO_ROOM = "quota: as many tasks of the account wait as may (max_waiting_tasks)"
PATIENCE_MS = 100  # the dispatcher works for all accounts, and waits for nobody's open transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """What an owner may start, read once for all schedules that are looked at together."""

    is_active: bool
    rights: tuple[Rights, ...]
    room: LaterRoom | None
    """None: there is no quota."""

    def why_not(self, session: Session, schedule: ScheduleRecord, *, now: datetime) -> str | None:
        """Why no slot of this schedule may fire now; None when they may."""
        if not self.is_active:
            return DISABLED
        reason = targets.why_not(session, schedule, now=now)
        if reason is not None:
            return reason
        try:
            targets.check(session, schedule, Allowance(rights=self.rights), now=now)
        except (TypeNotAllowed, Refused) as error:
            return str(error)
        return None

    def within_quota(self, session: Session, schedule: ScheduleRecord, verdict: Verdict, *, now: datetime) -> Verdict:
        """The verdict with those slots skipped for which the owner has no room; the places of the others are taken."""
        room = self.room
        if room is None or not any(_fires(each) for each in verdict.decisions):
            return verdict
        places = targets.places_of(session, schedule, now=now)
        decisions = tuple(
            each if not _fires(each) or room.take(places) else _skipped(each) for each in verdict.decisions
        )
        return replace(verdict, decisions=decisions)

    def settle(self) -> None:
        """Note in the quota what fires; before the transaction ends, and once."""
        if self.room is not None:
            self.room.settle()


def leave_of(session: Session, owner_id: UUID | None) -> Leave:
    """What an account, or the service itself, may start."""
    settings = get_settings()
    most = quota_of(session, owner_id, default=settings.max_waiting_tasks)
    return Leave(
        is_active=owner_is_active(session, owner_id),
        rights=rights.of_account(session, owner_id, settings=settings),
        room=LaterRoom(session, owner_id, most=most, patience=PATIENCE_MS) if owner_id is not None and most else None,
    )


def _fires(decision: Decision) -> bool:
    return decision.state == SlotState.FIRED


def _skipped(decision: Decision) -> Decision:
    return replace(decision, state=SlotState.SKIPPED, reason=NO_ROOM)
