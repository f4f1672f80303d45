"""The signals of a task or a run, taken and untaken."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, from_json
from app.models.page import Page, page_of

# When the wait took it stands with the step of that name; a run's signals are taken by steps of its tasks.
_COLUMNS = """
    signals.id, signals.target, signals.name, signals.data::text AS data, signals.key, signals.sent_by, signals.at,
    signals.taken_by, step.ended_at AS taken_at
"""
_FROM = """
    FROM signals
    LEFT JOIN task_steps AS step ON step.task_id = signals.target AND step.name = signals.taken_by
"""
_FIND = sa.text(f"""
    SELECT {_COLUMNS}
    {_FROM}
    WHERE signals.target = :target AND (CAST(:before AS bigint) IS NULL OR signals.id < :before)
    ORDER BY signals.id DESC
    LIMIT :most
""")
_BY_KEY = sa.text(f"SELECT {_COLUMNS} {_FROM} WHERE signals.target = :target AND signals.key = :key")
_UNTAKEN = sa.text("""
    SELECT name, count(*) AS signals, min(at) AS first_at
    FROM signals
    WHERE target = :target AND taken_by IS NULL
    GROUP BY name
    ORDER BY name
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One signal; `taken_by` is the step of the handler that took it, None as long as it lies."""

    id: int
    target: UUID
    name: str
    data: Any
    key: str | None
    sent_by: UUID | None
    at: datetime
    taken_by: str | None
    taken_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Untaken:
    """How many signals of a name lie, and since when."""

    name: str
    signals: int
    first_at: datetime


def untaken(session: Session, target: UUID) -> list[Untaken]:
    """What lies there, by name."""
    return [Untaken(**row) for row in session.execute(_UNTAKEN, {"target": target}).mappings()]


def by_key(session: Session, target: UUID, key: str) -> Signal | None:
    """The signal that was sent with this key before."""
    row = session.execute(_BY_KEY, {"target": target, "key": key}).mappings().first()
    return None if row is None else of_row(row)


def of_row(row: sa.RowMapping) -> Signal:
    """From a row with the columns of this module."""
    data = None if row["data"] is None else from_json(row["data"])  # the end of a run tells nothing but its name
    return Signal(**{**row, "data": data})


def find(session: Session, target: UUID, *, before: int | None, limit: int) -> Page[Signal]:
    """A page of the signals of a task or a run that the caller may see, newest first."""
    rows = session.execute(_FIND, {"target": target, "before": before, "most": limit + 1}).mappings()
    return page_of([of_row(row) for row in rows], limit)
