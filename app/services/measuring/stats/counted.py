"""Changes of status, exactly: the counts by hour, and what is still in the outbox, read in one snapshot.

The duty that passes events on adds them to `task_counts` in the transaction that deletes them from `event_outbox`, so
that each event is in one of the two, whenever one looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How often tasks of a type went from one status to another in an hour; the status before is None at submission."""

    hour: datetime | None
    type: str
    previous_status: str | None
    status: str
    n: int


_HOURS = "hour, type, previous_status, status"
_CHANGES = """
    SELECT {columns}, sum(n)::bigint AS n
    FROM (
        SELECT hour, type, previous_status, status, n
        FROM task_counts
        WHERE (CAST(:since AS timestamptz) IS NULL OR hour >= :since)
            AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
        UNION ALL
        SELECT date_trunc('hour', e.at, 'UTC'), e.type, e.previous_status, e.status, 1
        FROM event_outbox AS o
        JOIN task_events AS e ON e.id = o.event_id AND e.at = o.at
        WHERE (CAST(:since AS timestamptz) IS NULL OR o.at >= :since)
            AND (CAST(:owner AS uuid) IS NULL OR e.owner_id = :owner)
    ) AS counted
    GROUP BY {columns}
"""
_BY_HOUR = sa.text(_CHANGES.format(columns=_HOURS))
_IN_ALL = sa.text(_CHANGES.format(columns="type, previous_status, status"))


def changes(
    session: Session, *, owner: UUID | None = None, since: datetime | None = None, by_hour: bool = False
) -> Sequence[Change]:
    """All changes, or those from an hour on; of one owner's tasks, or of everybody's."""
    rows: Any = session.execute(_BY_HOUR if by_hour else _IN_ALL, {"owner": owner, "since": since}).mappings()
    return [Change(**{"hour": None, **row}) for row in rows]
