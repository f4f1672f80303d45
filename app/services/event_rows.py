"""Events as rows of a table for people: with the result, the failure and the time spent in the status before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.services import sealing
from app.services.events import Numbered, use_indexes
from tasks.errors import UnknownTaskType
from tasks.registry import get_type

HIDDEN = "[redacted]"

_MORE = sa.text(
    "SELECT e.id, t.name, e.detail -> 'error' ->> 'type' AS error_type, e.detail -> 'error' ->> 'message' AS "
    "error_message, e.detail ->> 'reason' AS reason, e.before_at, "
    "CASE WHEN e.status = 'COMPLETED' THEN t.result END AS result "
    "FROM (SELECT id, task_id, status, detail, lag(at) OVER (PARTITION BY task_id ORDER BY id) AS before_at "
    "      FROM task_events WHERE task_id = ANY(CAST(:tasks AS uuid[])) "
    "      AND at > CAST(:oldest AS timestamptz) - interval '7 days' AND at <= :newest) AS e "
    "LEFT JOIN tasks AS t ON t.id = e.task_id WHERE e.id = ANY(CAST(:ids AS bigint[]))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """One event; `seconds` is how long the task was in the previous status. A sensitive result is hidden."""

    position: int
    at: datetime
    task_id: UUID
    type: str
    name: str | None
    status: str
    previous_status: str | None
    seconds: float | None
    attempt: int
    worker: str | None
    owner_id: UUID | None
    reason: str | None
    error_type: str | None
    error_message: str | None
    result: Any


def rows_of(session: Session, events: Sequence[Numbered]) -> Iterator[EventRow]:
    """The rows of events, in their order. Of a task that was deleted meanwhile, what the event itself tells."""
    if not events:
        return
    moments = [event.at for event in events]
    use_indexes(session)
    ids, tasks = [event.event_id for event in events], list({event.task_id for event in events})
    found = session.execute(_MORE, {"ids": ids, "tasks": tasks, "oldest": min(moments), "newest": max(moments)})
    more = {row.id: row for row in found}
    for event in events:
        row: Any = more.get(event.event_id)
        before = row and row.before_at
        yield EventRow(
            position=event.position,
            at=event.at,
            task_id=event.task_id,
            type=event.type,
            name=row and row.name,
            status=event.status,
            previous_status=event.previous_status,
            seconds=(event.at - before).total_seconds() if before else None,
            attempt=event.attempt,
            worker=event.worker,
            owner_id=event.owner_id,
            reason=row and row.reason,
            error_type=row and row.error_type,
            error_message=row and row.error_message,
            result=shown_result(event.type, row and row.result),
        )


def shown_result(type_name: str, result: Any) -> Any:
    """A result as files and webhooks may hold it: never one of a sensitive type."""
    if result is None:
        return None
    return HIDDEN if is_sensitive(type_name) or sealing.is_sealed(result) else result


def is_sensitive(type_name: str) -> bool:
    """Whether the type says so; nothing is known of a type that is gone."""
    try:
        return get_type(type_name).sensitive
    except UnknownTaskType:
        return False
