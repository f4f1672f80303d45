"""Since when tasks were in the status that an event ends: the moment of the event before it.

Most tasks live for seconds, so that whoever takes all events in order has just seen the one before.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, array, use_indexes
from app.messaging import Numbered

MAX_REMEMBERED = 50_000  # tasks, of some 200 bytes each

# The history of each task is looked up by itself: nothing is known of the values in a partition that was not analysed
# yet, and for many tasks at once a planner then reads all of it. The bounds on `at` choose partitions.
_BEFORE = sa.text("""
    SELECT history.id, history.before_at
    FROM unnest(CAST(:tasks AS uuid[])) AS wanted (task_id)
    CROSS JOIN LATERAL (
        SELECT e.id, lag(e.at) OVER (ORDER BY e.id) AS before_at
        FROM task_events AS e
        WHERE e.task_id = wanted.task_id
            AND e.at > CAST(:oldest AS timestamptz) - interval '7 days'
            AND e.at <= CAST(:newest AS timestamptz)
    ) AS history
    WHERE history.id = ANY(CAST(:ids AS bigint[]))
""")

Before = Mapping[int, datetime | None]
"""The moment of the event before, by event id; None where there is none, or none within a week."""


class History:
    """For one reader that takes every event once and in order; who begins anew somewhere takes a new one."""

    def __init__(self, *, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._last: dict[UUID, datetime] = {}

    def before(self, session: Session, taken: Sequence[Numbered]) -> Before:
        """The moments of the events before these, remembered or else read."""
        statuses: dict[int, datetime | None] = {}
        unknown: list[Numbered] = []
        for event in taken:
            last = self._last.pop(event.task_id, None)
            if last is None and event.previous_status is not None:
                unknown.append(event)
            else:
                statuses[event.event_id] = last
            self._last[event.task_id] = event.at
        if unknown:
            statuses |= _read(session, unknown)
        self._forget()
        return statuses

    def _forget(self) -> None:
        for task_id in list(islice(self._last, max(0, len(self._last) - self._most))):
            del self._last[task_id]


def _read(session: Session, events: Sequence[Numbered]) -> Before:
    moments = [event.at for event in events]
    use_indexes(session)
    values = {
        "tasks": array({event.task_id for event in events}),
        "ids": array(event.event_id for event in events),
        "oldest": min(moments),
        "newest": max(moments),
    }
    return {row.id: row.before_at for row in session.execute(_BEFORE, values)}
