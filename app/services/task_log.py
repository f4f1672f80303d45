"""The lines that handlers write with task.log()."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import TaskLogLine


class Line(Protocol):
    """What is kept of a line."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def attempt(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def message(self) -> str: ...
    @property
    def fields(self) -> dict[str, Any]: ...


def write(session: Session, lines: Sequence[Line]) -> None:
    """Keep the lines."""
    if lines:
        rows = [
            {
                "task_id": line.task_id,
                "attempt": line.attempt,
                "at": line.at,
                "message": line.message,
                "fields": line.fields,
            }
            for line in lines
        ]
        session.execute(sa.insert(TaskLogLine), rows)
