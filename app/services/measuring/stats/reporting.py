"""The figures of /stats: how many are done, failed and waiting, in all, by type and by period."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import NOT_PARKED, Status
from app.services.lifecycle.transitions import UNREPLAYED
from app.services.measuring import levels
from app.services.measuring.stats.counted import Change, changes

Unit = Literal["hour", "day"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What happened to how many tasks."""

    submitted: int = 0
    jobs_done: int = 0
    """That are COMPLETED."""
    jobs_failed: int = 0
    """That are FAILED; in all, one that was replayed does not count any more, in a period it does."""
    cancelled: int = 0
    retries: int = 0
    """Attempts after which another one was planned."""

    @classmethod
    def of(cls, counted: Iterable[Change], *, net: bool) -> "Tally":
        """Add up; `net` takes away those that were finished and began anew, which a part of the time cannot tell."""
        counted = list(counted)

        def arrived(status: Status, *, net: bool = net) -> int:
            came = sum(each.n for each in counted if each.status == status and (net or not _is_unreplayed(each)))
            left = sum(each.n for each in counted if each.previous_status == status) if net else 0
            return came - left

        return cls(
            submitted=sum(each.n for each in counted if each.previous_status is None),
            jobs_done=arrived(Status.COMPLETED),
            jobs_failed=arrived(Status.FAILED),
            cancelled=arrived(Status.CANCELLED),
            retries=arrived(Status.RETRYING, net=False),
        )


def _is_unreplayed(change: Change) -> bool:
    """Whether tasks have only become again what they were: nothing has happened to them."""
    return UNREPLAYED.joins(change.previous_status, change.status)


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeStats:
    """The figures of one type."""

    type: str
    jobs_in_queue: int
    suspended: int
    tally: Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """The figures of one hour or day (UTC)."""

    start: datetime
    tally: Tally


@dataclass(frozen=True, kw_only=True)
class Stats:
    """The figures at a moment."""

    at: datetime
    since: datetime | None
    total_jobs_in_queue: int
    suspended: int
    """WAITING for a moment, a signal or their children."""
    tally: Tally
    by_type: Sequence[TypeStats] = field(default_factory=list)
    by_period: Sequence[Period] = field(default_factory=list)


_WAITING = sa.text(f"""
    SELECT type, count(*) AS tasks
    FROM tasks
    WHERE {NOT_PARKED} AND status IN ('PENDING', 'RETRYING') AND owner_id = :owner
    GROUP BY type
""")


_SUSPENDED = sa.text("""
    SELECT type, count(*) AS tasks
    FROM tasks
    WHERE due_at IS NOT NULL AND status = 'WAITING' AND owner_id = :owner
    GROUP BY type
""")


def report(
    session: Session,
    *,
    owner: UUID | None,
    types: Sequence[str] = (),
    since: datetime | None = None,
    unit: Unit | None = None,
    now: datetime,
) -> Stats:
    """Everybody's figures (`owner` None) or one account's; `unit` adds them by hour or day from `since` on."""
    counted = [
        each
        for each in changes(session, owner=owner, since=since, by_hour=unit is not None)
        if not types or each.type in types
    ]
    waiting = {name: tasks for name, tasks in _waiting(session, owner, now).items() if not types or name in types}
    suspended = {name: tasks for name, tasks in _suspended(session, owner, now).items() if not types or name in types}
    names = sorted(set(waiting) | set(suspended) | {each.type for each in counted})
    return Stats(
        at=now,
        since=since,
        total_jobs_in_queue=sum(waiting.values()),
        suspended=sum(suspended.values()),
        tally=Tally.of(counted, net=since is None),
        by_type=[
            TypeStats(
                type=name,
                jobs_in_queue=waiting.get(name, 0),
                suspended=suspended.get(name, 0),
                tally=Tally.of((each for each in counted if each.type == name), net=since is None),
            )
            for name in names
        ],
        by_period=_periods(counted, _start_of[unit]) if unit else [],
    )


def _waiting(session: Session, owner: UUID | None, now: datetime) -> dict[str, int]:
    """What is PENDING or RETRYING, by type."""
    if owner is not None:
        return {row.type: row.tasks for row in session.execute(_WAITING, {"owner": owner})}
    snapshot = levels.read(session, now=now)
    pending, retrying = snapshot.by("type", Status.PENDING), snapshot.by("type", Status.RETRYING)
    return {name: pending.get(name, 0) + retrying.get(name, 0) for name in set(pending) | set(retrying)}


def _suspended(session: Session, owner: UUID | None, now: datetime) -> dict[str, int]:
    """What is WAITING, by type; everybody's as counted within the last minute."""
    if owner is not None:
        return {row.type: row.tasks for row in session.execute(_SUSPENDED, {"owner": owner})}
    return levels.read(session, now=now).by("type", Status.WAITING)


def _periods(counted: Sequence[Change], start_of: Callable[[datetime], datetime]) -> list[Period]:
    by_start: dict[datetime, list[Change]] = {}
    for each in counted:
        if each.hour is not None:
            by_start.setdefault(start_of(each.hour.astimezone(UTC)), []).append(each)
    return [Period(start=start, tally=Tally.of(each, net=False)) for start, each in sorted(by_start.items())]


_start_of: dict[Unit, Callable[[datetime], datetime]] = {
    "hour": lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    "day": lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0),
}


def first_hour(since: datetime) -> datetime:
    """Counts are kept by the hour: figures begin with the hour that a moment is in."""
    return since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
