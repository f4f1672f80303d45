"""The attempts of a task, read off its history: each begins with a claim and ends with the next change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database import Session
from app.models import EventRecord, Status
from app.services.tasks.records import events

MAX_EVENTS = 2_000

# What became of an attempt, by the status it left the task in.
OUTCOMES = {
    Status.COMPLETED: "completed",
    Status.RETRYING: "failed",
    Status.FAILED: "failed",
    Status.CANCELLED: "stopped",
    Status.PENDING: "given_back",
    Status.WAITING: "suspended",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One run of a task by a worker; `outcome` and `ended_at` are None while it runs."""

    number: int
    worker: str | None
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    error: dict[str, Any] | None = None

    def without_traceback(self) -> "Attempt":
        """For callers who are not to see the inside of a handler."""
        if self.error is None:
            return self
        return replace(self, error={name: told for name, told in self.error.items() if name != "traceback"})


def of_task(session: Session, task_id: UUID, *, owner: UUID | None) -> list[Attempt]:
    """A task's attempts, oldest first; the number of one that was given back is used again. Raises NotFound."""
    history, _ = events(session, task_id, owner=owner, after=None, limit=MAX_EVENTS)
    return from_history(history)


def from_history(history: Sequence[EventRecord]) -> list[Attempt]:
    """Pure: the attempts in a task's events, which are in order."""
    attempts: list[Attempt] = []
    for event in history:
        if event.status == Status.PROCESSING:
            attempts.append(Attempt(number=event.attempt, worker=event.worker, started_at=event.at))
        elif event.previous_status == Status.PROCESSING and attempts:
            begun = attempts.pop()
            attempts.append(
                Attempt(
                    number=begun.number,
                    worker=begun.worker,
                    started_at=begun.started_at,
                    ended_at=event.at,
                    outcome=OUTCOMES.get(Status(event.status), "given_back"),
                    error=(event.detail or {}).get("error"),
                )
            )
    return attempts
