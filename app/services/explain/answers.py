"""What an answer to "why" looks like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.clock import rfc_3339


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One cause: its name, a sentence, what it was concluded from, when something changes by itself, what to do."""

    cause: str
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    next_at: datetime | None = None
    fix: str = "Nothing: this is as it should be."
    task_id: UUID | None = None
    status: str | None = None


def span(length: timedelta | float) -> str:
    """A length of time as people say it: 40 s, 12 min, 3 h, 5 days."""
    seconds = max(0.0, length.total_seconds() if isinstance(length, timedelta) else length)
    for unit, size, upto in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < upto:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def moment(at: datetime | None) -> str | None:
    """As in every answer of the API."""
    return None if at is None else rfc_3339(at)
