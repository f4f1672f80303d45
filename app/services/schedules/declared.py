"""Schedules that are written in code: stored for the service itself when it is set up, and switched off when they go.

Not at every start: during an upgrade processes of two versions run, and each would put its own schedules back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.errors import Refused
from app.models import ScheduleRecord
from app.services.owners import lock_owner_count
from app.services.schedules import putting
from app.services.schedules.changing import NewSchedule, change, create, write
from app.services.schedules.reading import SCHEDULES, of_name

UNBOUNDED = 1_000_000
"""MAX_SCHEDULES_PER_OWNER holds for accounts; what code declares is as much as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """One schedule of the code; `digest` is equal for declarations that say the same, `place` says where it stands."""

    schedule: NewSchedule
    digest: str
    place: str


class DeclarationRefused(Refused):
    """A schedule of the code that cannot be stored; the text names it and its place."""

    def __init__(self, name: str, place: str, refused: Refused) -> None:
        super().__init__(refused.errors, code=refused.code)
        self._text = f"schedule {name!r} ({place}): {refused}"

    def __str__(self) -> str:
        return self._text


def sync(session: Session, declared: Mapping[str, Declaration], *, now: datetime) -> list[str]:
    """Store what the code declares, in place of what an earlier release declared; returns a line for each change.

    A schedule that a person has disabled stays disabled. One that is in the code no more is switched off, with its
    slots and its history, and goes on when it comes back. Raises DeclarationRefused, naming the first that cannot be.
    """
    lock_owner_count(session, "schedules", None)
    lines: list[str] = []
    for name, declaration in declared.items():
        try:
            lines += _stored(session, name, declaration, now)
        except Refused as error:
            raise DeclarationRefused(name, declaration.place, error) from None
    return [*lines, *_withdrawn(session, declared, now)]


def _stored(session: Session, name: str, declaration: Declaration, now: datetime) -> Iterator[str]:
    old, wanted = of_name(session, name, owner_id=None), declaration.schedule
    if _is_over(wanted, now):
        if old is None or old.declared != declaration.digest:
            yield f"Left the schedule {name!r} as it is: its time is over."
        return
    if old is None:
        made = create(session, wanted, owner_id=None, most=UNBOUNDED, now=now)
        write(session, made.id, {"declared": declaration.digest})
        yield f"Stored the schedule {name!r}."
        return
    if old.declared != declaration.digest:
        putting.replace(session, old.id, wanted, now=now, keeps_enabled=True, from_code=True)
        write(session, old.id, {"declared": declaration.digest})
        yield f"Stored the schedule {name!r} anew."
    if old.withdrawn:
        change(session, old.id, {"enabled": True}, visible_to=None, now=now, from_code=True)
        yield f"Switched the schedule {name!r} on again: it is back in the code."


def _withdrawn(session: Session, declared: Mapping[str, Declaration], now: datetime) -> Iterator[str]:
    gone = sa.select(SCHEDULES).where(
        SCHEDULES.c.declared.is_not(None), SCHEDULES.c.enabled, SCHEDULES.c.name.not_in(list(declared))
    )
    for row in session.connection().execute(gone.order_by(SCHEDULES.c.id)).mappings().all():
        schedule = ScheduleRecord.of(row)
        change(session, schedule.id, {"enabled": False}, visible_to=None, now=now, from_code=True)
        write(session, schedule.id, {"withdrawn": True})
        yield f"Switched the schedule {schedule.name!r} off: it is in the code no more."


def _is_over(wanted: NewSchedule, now: datetime) -> bool:
    end = wanted.run_at if wanted.cron is None else wanted.ends_at
    return end is not None and end <= now
