"""What a schedule may say and be called, in which state it may be changed, and how many an owner may have."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, Outdated, Refused
from app.models import ScheduleRecord
from app.services.owners import lock_owner_count
from app.services.schedules import cron as crons
from app.services.schedules import zones
from app.services.schedules.reading import SCHEDULES, of_name
from app.services.schedules.rule import EARLIEST, LATEST, Rule
from taskledger_sdk.payload.fields import UUID_TEXT

EITHER = "give either cron (recurring) or run_at (once)"


def check_rule(rule: Rule, *, run_if_past: bool, now: datetime) -> bool:
    """Whether its one moment is past and wanted at once. Raises Refused for a rule that will never have a slot."""
    if rule.cron is None and rule.run_at is None:
        raise Refused({"cron": [f"is missing: {EITHER}"]})
    if rule.cron is not None and rule.run_at is not None:
        raise Refused({"run_at": [f"is one too many: {EITHER}"]})
    zones.find(rule.time_zone)
    for name in ("run_at", "starts_at", "ends_at"):
        check_moment(name, getattr(rule, name))
    if rule.run_at is not None:
        return _check_once(rule, rule.run_at, run_if_past, now)
    crons.parse(rule.cron or "")
    if rule.ends_at is not None and rule.ends_at <= max(now, rule.starts_at or now):
        raise Refused({"ends_at": ["must be later than now and than starts_at"]})
    if rule.after(now) is None:
        raise Refused({"cron": ["has no slot between starts_at and ends_at"]})
    return False


def check_moment(name: str, moment: datetime | None) -> None:
    """Raises Refused for years that no calendar of ours reaches."""
    if moment is not None and not EARLIEST <= moment < LATEST:
        raise Refused({name: [f"must be in the years {EARLIEST.year} to {LATEST.year - 1}"]})


def _check_once(rule: Rule, run_at: datetime, run_if_past: bool, now: datetime) -> bool:
    for name in ("starts_at", "ends_at"):
        if getattr(rule, name) is not None:
            raise Refused({name: ["goes with cron; a schedule with run_at has its one moment"]})
    if run_at > now:
        return False
    if not run_if_past:
        said = f"is past: it is {now:%Y-%m-%dT%H:%M:%SZ} here; send run_if_past: true to run it at once"
        raise Refused({"run_at": [said]}, code="run_at_is_past")
    return True


def check_name(session: Session, owner_id: UUID | None, name: str | None) -> None:
    """Raises Conflict for a name that another schedule of the account has; until the transaction ends, nobody takes it.

    Refused is a name that is a UUID: a path that has it means the schedule of this id.
    """
    lock_owner_count(session, "schedules", owner_id)
    if name is None:
        return
    if UUID_TEXT.fullmatch(name):
        raise Refused({"name": ["is a UUID: schedules are found by id or by name, so it can be the one only"]})
    if of_name(session, name, owner_id=owner_id) is not None:
        raise Conflict(f"There is a schedule called {name!r} already; change it (PUT, PATCH), or take another name.")


def check_state(schedule: ScheduleRecord, states: Collection[datetime] | None) -> None:
    """Raises Outdated unless the schedule is in a state that the caller has read; None is any."""
    if states is not None and schedule.updated_at not in states:
        raise Outdated("The schedule has changed since you read it: read it again and repeat the change on that.")


def check_room(session: Session, owner_id: UUID | None, *, most: int) -> None:
    """Raises Refused when an owner has as many schedules as allowed."""
    lock_owner_count(session, "schedules", owner_id)
    theirs = sa.select(sa.func.count()).select_from(SCHEDULES).where(SCHEDULES.c.owner_id == owner_id)
    if session.execute(theirs).scalar_one() >= most:
        said = f"there are {most} schedules already, the most that one owner may have (MAX_SCHEDULES_PER_OWNER)"
        raise Refused({"_schema": [f"{said}; delete one first"]}, code="too_many_schedules")
