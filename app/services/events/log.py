"""The published events by their number: what every consumer falls back on, whatever became of its messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbered:
    """One event with its publish-order number. It holds no payload, no result and no error."""

    position: int
    event_id: int
    task_id: UUID
    type: str
    status: str
    previous_status: str | None
    attempt: int
    worker: str | None
    at: datetime
    owner_id: UUID | None

    def as_json(self) -> dict[str, Any]:
        """As it is published."""
        return {
            "position": self.position,
            "event_id": self.event_id,
            "task_id": str(self.task_id),
            "type": self.type,
            "status": self.status,
            "previous_status": self.previous_status,
            "attempt": self.attempt,
            "worker": self.worker,
            "at": self.at.isoformat(),
            "owner_id": None if self.owner_id is None else str(self.owner_id),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Numbered":
        """From a message. Raises KeyError, TypeError or ValueError for what is none."""
        owner = value["owner_id"]
        return cls(
            **{
                **value,
                "task_id": UUID(value["task_id"]),
                "at": datetime.fromisoformat(value["at"]),
                "owner_id": None if owner is None else UUID(owner),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Events after a number, in order; `until` is the last number that it covers, events or not.

    A number without an event belonged to a task that was deleted, or to history that is no longer kept.
    """

    after: int
    until: int
    events: Sequence[Numbered]


EVENT_COLUMNS = (
    "e.id AS event_id, e.task_id, e.type, e.status, e.previous_status, e.attempt, e.worker, e.at, e.owner_id"
)
_AFTER = sa.text(
    "SELECT first_position, last_position, event_ids, oldest_at, newest_at FROM event_batches "
    "WHERE last_position > :after AND published_at IS NOT NULL ORDER BY last_position LIMIT :limit"
)
_EVENTS = sa.text(
    f"SELECT {EVENT_COLUMNS} FROM task_events AS e "
    "WHERE e.id = ANY(CAST(:ids AS bigint[])) AND e.at >= :oldest AND e.at <= :newest"
)
_NEWEST = sa.text(
    "SELECT last_position FROM event_batches WHERE published_at IS NOT NULL ORDER BY last_position DESC LIMIT 1"
)


def newest_position(session: Session) -> int:
    """The number of the newest event that was published; 0 before the first."""
    return session.scalar(_NEWEST) or 0


def read_after(session: Session, after: int, *, limit: int) -> Page:
    """At least one and about `limit` published events that come after a number; none when there are no more."""
    numbers: dict[int, int] = {}
    until, oldest, newest = after, None, None
    for batch in session.execute(_AFTER, {"after": after, "limit": limit}):
        skipped = max(0, until + 1 - batch.first_position)
        wanted = batch.event_ids[skipped : skipped + limit - len(numbers)]
        first = batch.first_position + skipped
        numbers.update(zip(wanted, range(first, first + len(wanted)), strict=True))
        until = first + len(wanted) - 1
        oldest = batch.oldest_at if oldest is None else min(oldest, batch.oldest_at)
        newest = batch.newest_at if newest is None else max(newest, batch.newest_at)
        if len(numbers) >= limit:
            break
    events = load(session, numbers, oldest=oldest, newest=newest)
    return Page(after=after, until=until, events=events)


def load(
    session: Session, numbers: dict[int, int], *, oldest: datetime | None, newest: datetime | None
) -> list[Numbered]:
    """The events with these ids (number by id) in the order of their numbers; those that are gone are left out."""
    if not numbers:
        return []
    rows = session.execute(_EVENTS, {"ids": list(numbers), "oldest": oldest, "newest": newest}).mappings()
    return sorted(
        (Numbered(position=numbers[row["event_id"]], **row) for row in rows), key=lambda event: event.position
    )
