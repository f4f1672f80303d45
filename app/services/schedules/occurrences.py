"""Which slots of a schedule have come since the last one that is accounted for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import structlog

from app.errors import Refused
from app.models import ScheduleRecord
from app.services.schedules.policy import MAX_CAPPED
from app.services.schedules.rule import Rule

log = structlog.get_logger(__name__)

SLOTS_A_LOOK = 500  # of one schedule; after a long absence the rest is left to the next looks
LOOK_AGAIN_AFTER_PROBLEM = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueOccurrences:
    """The slots of a schedule that have come and are not accounted for, and where it stands afterwards."""

    slots: Sequence[datetime]
    more: bool
    accounted_until: datetime
    next_at: datetime | None
    problem: str | None = None


def what_has_come(schedule: ScheduleRecord, now: datetime) -> DueOccurrences:
    """Computed from the rule and not from next_at, which may be of older zone data."""
    most = SLOTS_A_LOOK + MAX_CAPPED + 1
    rule, since = Rule.of(schedule), schedule.accounted_until
    try:
        found = list(islice(rule.slots(after=since, until=now), most))
        more = len(found) == most  # the newest are left to a later look, so that the cap can tell which they are
        slots = found[:SLOTS_A_LOOK] if more else found
        until = slots[-1] if slots else since
        return DueOccurrences(
            slots=slots, more=more, accounted_until=until, next_at=rule.after(until) if schedule.enabled else None
        )
    except Refused as error:
        log.error("schedule_has_a_problem", schedule_id=str(schedule.id), error=str(error))
        again = now + LOOK_AGAIN_AFTER_PROBLEM
        return DueOccurrences(slots=(), more=False, accounted_until=since, next_at=again, problem=str(error))
