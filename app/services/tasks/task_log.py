"""The lines that handlers write with task.log()."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import TaskLogLine
from app.services.tasks.records import read

LOG = TaskLogLine.metadata.tables["task_log"]
MAX_LINES = 2_000  # returned
LINES_OF_ATTEMPT = 500  # kept,
LINES_A_MINUTE = 1  # and so many more for each minute that it takes: 10,580 of seven days


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line that a handler wrote with task.log()."""

    task_id: UUID
    attempt: int
    at: datetime
    message: str
    fields: dict[str, Any]


def max_lines(running_seconds: float) -> int:
    """How many lines are kept of an attempt that has run for so long. Pure."""
    return LINES_OF_ATTEMPT + LINES_A_MINUTE * int(running_seconds / 60)


def counts(session: Session, task_ids: Collection[UUID]) -> Counter[tuple[UUID, int]]:
    """How many lines there are, by task and attempt."""
    columns = (LOG.c.task_id, LOG.c.attempt)
    query = sa.select(*columns, sa.func.count()).where(LOG.c.task_id.in_(list(task_ids))).group_by(*columns)
    return Counter({(task_id, attempt): count for task_id, attempt, count in session.execute(query)})


def write(session: Session, lines: Sequence[LogLine]) -> None:
    """Keep the lines."""
    if lines:
        session.execute(sa.insert(LOG), [asdict(line) for line in lines])


def of_task(session: Session, task_id: UUID, *, owner: UUID | None) -> list[LogLine]:
    """The newest lines of a task, oldest first. Raises NotFound."""
    read(session, task_id, owner=owner)
    columns = [LOG.c[name] for name in LogLine.__slots__]
    query = sa.select(*columns).where(LOG.c.task_id == task_id).order_by(LOG.c.id.desc()).limit(MAX_LINES)
    return [LogLine(**row) for row in session.execute(query).mappings()][::-1]
