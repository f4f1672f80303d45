"""Events as rows of a table for people: with the result, the failure and the time spent in the status before."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from app.database import Session, array, use_indexes
from app.services.encryption import ciphertexts
from app.services.events import Before, Numbered
from taskledger_sdk.registry import find_type
from tasks.masking import MASKED

# The task of each event is looked up by itself, as in events/history.py: no plan for many may read whole tables.
_MORE = sa.text("""
    SELECT e.id, t.name, e.detail -> 'error' ->> 'type' AS error_type,
        e.detail -> 'error' ->> 'message' AS error_message, e.detail ->> 'reason' AS reason,
        CASE WHEN e.status = 'COMPLETED' THEN t.result END AS result
    FROM task_events AS e
    LEFT JOIN LATERAL (SELECT name, result FROM tasks WHERE tasks.id = e.task_id OFFSET 0) AS t ON true
    WHERE e.id = ANY(CAST(:ids AS bigint[]))
        AND e.at >= :oldest
        AND e.at <= :newest
        AND (e.status = 'COMPLETED' OR e.detail IS NOT NULL OR t.name IS NOT NULL)
""")
_NOTHING_MORE = (None,) * 5


class EventRow(msgspec.Struct, frozen=True):
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


def rows_of(session: Session, events: Sequence[Numbered], before: Before) -> Iterator[EventRow]:
    """The rows of events, in their order. Of a task that was deleted meanwhile, what the event itself tells."""
    if not events:
        return
    moments = [event.at for event in events]
    use_indexes(session)
    ids = array(event.event_id for event in events)
    rows = session.execute(_MORE, {"ids": ids, "oldest": min(moments), "newest": max(moments)})
    more = {row[0]: row[1:] for row in rows.all()}
    for event in events:
        since = before.get(event.event_id)
        name, error_type, error_message, reason, result = more.get(event.event_id, _NOTHING_MORE)
        yield EventRow(
            position=event.position,
            at=event.at,
            task_id=event.task_id,
            type=event.type,
            name=name,
            status=event.status,
            previous_status=event.previous_status,
            seconds=None if since is None else (event.at - since).total_seconds(),
            attempt=event.attempt,
            worker=event.worker,
            owner_id=event.owner_id,
            reason=reason,
            error_type=error_type,
            error_message=error_message,
            result=shown_result(event.type, result),
        )


def shown_result(type_name: str, result: Any) -> Any:
    """A result as files and webhooks may hold it: never one of a sensitive type."""
    if result is None:
        return None
    return MASKED if is_sensitive(type_name) or ciphertexts.is_encrypted(result) else result


def is_sensitive(type_name: str) -> bool:
    """Whether the type says so; nothing is known of a type that is gone."""
    kind = find_type(type_name)
    return kind is not None and kind.sensitive
