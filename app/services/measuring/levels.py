"""What waits and runs where, measured by the dispatcher every few seconds: answers cost the same with any growth.

Where no measurement is fresh (no dispatcher runs), the same is read from the tasks themselves, which costs some 40 ms
for each 100,000 that are unfinished.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.database import Session, to_json
from app.models import NOT_PARKED, Priority, Status

FRESH = timedelta(seconds=30)
LINES_FROM = 5_000  # shorter queues are counted when somebody asks; see line_marks
MARKS = 200
NAME = "levels"


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """The unfinished tasks of one queue, type, priority and status."""

    queue: str
    type: str
    priority: str
    status: str
    tasks: int
    held: int
    """Of those that are PENDING: without a hint, because their type is paused or the broker did not take it."""
    waiting_since: datetime | None
    """Since when the first of them waits (PENDING, WAITING) or runs (PROCESSING)."""
    overdue_since: datetime | None
    """When the first was due that has no hint out; in the future when none is late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Tasks a second of one type, over the last minutes that were measured."""

    submitted: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    failed: float = 0.0
    started_lately: float = 0.0
    """Over the last seconds only."""
    seconds: float = 0.0
    """How long was measured; 0: nothing yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """In a long line: so many tasks of this priority were dispatched before that moment."""

    at: datetime
    ahead: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """How often tasks of a type went from one status to another; the status before is None at submission."""

    type: str
    previous_status: str | None
    status: str
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What else grows when something is wrong."""

    outbox_events: int
    """Events that were not passed on yet."""
    outbox_since: datetime | None
    dead_letters: Mapping[str, int]
    """FAILED tasks by type."""
    database_bytes: int


@dataclass(frozen=True, kw_only=True)
class Levels:
    """All levels at one moment."""

    measured_at: datetime
    levels: Sequence[Level]
    flows: Mapping[str, Flow] = field(default_factory=dict)
    marks: Mapping[tuple[str, str], Sequence[Mark]] = field(default_factory=dict)
    totals: Sequence[Total] = ()
    """How often each change of status has happened, ever; empty where nothing was measured."""
    growth: Growth | None = None

    def count(self, status: Status, **which: str) -> int:
        """How many tasks are in a status, in all or of one queue, type or priority."""
        return sum(each.tasks for each in self.having(status, **which))

    def having(self, status: Status, **which: str) -> list[Level]:
        """The levels of a status, of all or of one queue, type or priority."""
        return [
            each
            for each in self.levels
            if each.status == status and all(getattr(each, name) == value for name, value in which.items())
        ]

    def by(self, name: str, status: Status) -> dict[str, int]:
        """How many tasks are in a status, by queue, type or priority."""
        groups: dict[str, int] = {}
        for each in self.levels:
            if each.status == status:
                key = getattr(each, name)
                groups[key] = groups.get(key, 0) + each.tasks
        return groups

    def waiting_since(self, **which: str) -> datetime | None:
        """Since when the first PENDING task waits."""
        return min(
            (each.waiting_since for each in self.having(Status.PENDING, **which) if each.waiting_since), default=None
        )

    def due_lag_seconds(self, now: datetime) -> float:
        """By how much the dispatcher is late; tasks that are held for a pause are not late."""
        moments = [each.overdue_since for each in self.levels if each.overdue_since is not None]
        return max(0.0, (now - min(moments)).total_seconds()) if moments else 0.0

    def flow_of(self, types: Iterable[str]) -> Flow:
        """What flows through several types together."""
        flows = [self.flows[name] for name in types if name in self.flows]
        return Flow(
            submitted=sum(each.submitted for each in flows),
            started=sum(each.started for each in flows),
            finished=sum(each.finished for each in flows),
            failed=sum(each.failed for each in flows),
            started_lately=sum(each.started_lately for each in flows),
            seconds=min((each.seconds for each in flows), default=0.0),
        )


_COUNT = sa.text(f"""
    SELECT queue, type, priority, status, count(*) AS tasks,
        count(*) FILTER (WHERE status = 'PENDING' AND dispatched_at IS NULL) AS held, min(
            CASE
            WHEN status = 'PROCESSING' THEN started_at
            WHEN attempt = 0 THEN greatest(created_at, scheduled_at)
            ELSE coalesce(dispatched_at, updated_at) END
        ) AS waiting_since, min(due_at) FILTER (WHERE status <> 'PROCESSING' AND dispatched_at IS NULL) AS overdue_since
    FROM tasks
    WHERE {NOT_PARKED} AND status <> 'WAITING'
    GROUP BY queue, type, priority, status
""")


def count(session: Session) -> list[Level]:
    """The levels as the tasks say; reads every unfinished row."""
    return [Level(**row) for row in session.execute(_COUNT).mappings()]


_BINS = sa.text(f"""
    SELECT floor(extract(epoch FROM dispatched_at - CAST(:since AS timestamptz)) / :width)::integer AS bin, priority,
        count(*) AS tasks
    FROM tasks
    WHERE {NOT_PARKED} AND status = 'PENDING' AND dispatched_at IS NOT NULL AND queue = :queue
    GROUP BY 1, 2
    ORDER BY 1
""")
_FIRST = sa.text(f"""
    SELECT min(dispatched_at) AS first, max(dispatched_at) AS last
    FROM tasks
    WHERE {NOT_PARKED} AND status = 'PENDING' AND queue = :queue
""")


def line_marks(session: Session, queue: str) -> dict[str, list[Mark]]:
    """How a long line is spread over time, by priority: where somebody stands can then be told without counting."""
    ends = session.execute(_FIRST, {"queue": queue}).one()
    if ends.first is None:
        return {}
    width = max(0.001, (ends.last - ends.first).total_seconds() / MARKS)
    lines: dict[str, list[Mark]] = {}
    ahead: dict[str, int] = {}
    for row in session.execute(_BINS, {"queue": queue, "since": ends.first, "width": width}):
        ahead[row.priority] = ahead.get(row.priority, 0) + row.tasks
        mark = Mark(at=ends.first + timedelta(seconds=width * (row.bin + 1)), ahead=ahead[row.priority])
        lines.setdefault(row.priority, [Mark(at=ends.first, ahead=0)]).append(mark)
    return lines


# By itself, and more rarely: of those that wait for a moment, a signal or their children there may be very many, and no
# worker is to take them.
_COUNT_SUSPENDED = sa.text("""
    SELECT queue, type, priority, status, count(*) AS tasks, 0 AS held, min(updated_at) AS waiting_since,
        CAST(NULL AS timestamptz) AS overdue_since
    FROM tasks
    WHERE due_at IS NOT NULL AND status = 'WAITING'
    GROUP BY queue, type, priority, status
""")


def count_suspended(session: Session) -> list[Level]:
    """The levels of WAITING; reads each such row, some 50 ms for 100,000."""
    return [Level(**row) for row in session.execute(_COUNT_SUSPENDED).mappings()]


def place_in_line(marks: Sequence[Mark], dispatched_at: datetime) -> int:
    """How many were dispatched earlier, between two marks in proportion. Pure."""
    before = [mark for mark in marks if mark.at <= dispatched_at]
    after = [mark for mark in marks if mark.at > dispatched_at]
    if not before or not after:
        return before[-1].ahead if before else 0
    low, high = before[-1], after[0]
    share = (dispatched_at - low.at) / (high.at - low.at)
    return low.ahead + round((high.ahead - low.ahead) * share)


_OUTBOX = sa.text("SELECT count(*) AS events, min(at) AS since FROM event_outbox")
_FAILED = sa.text("SELECT type, count(*) AS tasks FROM tasks WHERE status = 'FAILED' GROUP BY type")
_SIZE = sa.text("SELECT pg_database_size(current_database())")


def growth(session: Session) -> Growth:
    """What the tables say; reads the index of the dead letters."""
    outbox = session.execute(_OUTBOX).one()
    return Growth(
        outbox_events=outbox.events,
        outbox_since=outbox.since,
        dead_letters={row.type: row.tasks for row in session.execute(_FAILED)},
        database_bytes=session.scalar(_SIZE) or 0,
    )


_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(hashtext('taskledger.measure'))")
_LAST = sa.text("SELECT measured_at FROM measurements WHERE name = :name")
_WRITE = sa.text("""
    INSERT INTO measurements (name, measured_at, value)
    VALUES (:name, :at, CAST(:value AS jsonb))
    ON CONFLICT (name) DO UPDATE SET measured_at = excluded.measured_at, value = excluded.value
""")
_READ = sa.text("SELECT measured_at, value FROM measurements WHERE name = :name AND measured_at > :since")


def measured_at(session: Session) -> datetime | None:
    """When the newest measurement was taken; None before the first."""
    last: datetime | None = session.scalar(_LAST, {"name": NAME})
    return last


def lock_measuring(session: Session) -> bool:
    """Whether this transaction is the only one that measures, until it ends; it waits for no other."""
    return bool(session.scalar(_LOCK))


def write(session: Session, snapshot: Levels) -> None:
    """Keep a measurement in place of the last one."""
    value = {
        "levels": [{name: _plain(each) for name, each in asdict(level).items()} for level in snapshot.levels],
        "flows": {name: asdict(flow) for name, flow in snapshot.flows.items()},
        "totals": [[each.type, each.previous_status, each.status, each.n] for each in snapshot.totals],
        "backlog": snapshot.growth and {name: _plain(each) for name, each in asdict(snapshot.growth).items()},
        "marks": [[queue, priority, [[_plain(mark.at), mark.ahead] for mark in line]]
                  for (queue, priority), line in snapshot.marks.items()],
    }  # fmt: skip
    session.execute(_WRITE, {"name": NAME, "at": snapshot.measured_at, "value": to_json(value)})


def read(session: Session, *, now: datetime) -> Levels:
    """The newest measurement; where none is fresh, what the tasks say now, without flows."""
    row = session.execute(_READ, {"name": NAME, "since": now - FRESH}).first()
    if row is None:
        return Levels(measured_at=now, levels=[*count(session), *count_suspended(session)])
    return Levels(
        measured_at=row.measured_at,
        levels=[_level(each) for each in row.value["levels"]],
        flows={name: Flow(**flow) for name, flow in row.value["flows"].items()},
        marks={
            (queue, priority): [Mark(at=datetime.fromisoformat(at), ahead=ahead) for at, ahead in line]
            for queue, priority, line in row.value["marks"]
        },
        totals=[
            Total(type=type_, previous_status=before, status=status, n=n)
            for type_, before, status, n in row.value["totals"]
        ],
        growth=_growth(row.value["backlog"]),
    )


def _growth(value: dict[str, Any] | None) -> Growth | None:
    if value is None:
        return None
    since = value["outbox_since"]
    return Growth(**{**value, "outbox_since": since and datetime.fromisoformat(since)})


def _level(value: dict[str, Any]) -> Level:
    moments = {name: value[name] and datetime.fromisoformat(value[name]) for name in ("waiting_since", "overdue_since")}
    return Level(**{**value, **moments})


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def ahead_of(priority: str) -> tuple[str, ...]:
    """The priorities whose hints are taken first."""
    order = (Priority.HIGH.value, Priority.NORMAL.value, Priority.LOW.value)
    return order[: order.index(priority)]
