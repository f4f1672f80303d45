"""Per-minute statistics: counts, run times and waiting times by owner, type and status."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.services.events import Numbered, use_indexes

BATCH = 2_000

# How long a task was in the status that it leaves: since its event before. The bounds on `at` choose partitions; what
# waited for longer than a week counts without its time. One pass over the histories of these tasks, whatever the
# planner believes of a table that was empty a minute ago: a look for each event once took half a minute there.
_ADD = sa.text(
    "INSERT INTO task_stats AS stat (minute, owner_id, type, status, n, ran, run_seconds, longest_run_seconds, "
    "waited, wait_seconds, longest_wait_seconds) "
    "SELECT date_trunc('minute', at), owner_id, type, status, count(*), "
    "count(spent) FILTER (WHERE previous_status = 'PROCESSING'), "
    "coalesce(sum(spent) FILTER (WHERE previous_status = 'PROCESSING'), 0), "
    "coalesce(max(spent) FILTER (WHERE previous_status = 'PROCESSING'), 0), "
    "count(spent) FILTER (WHERE status = 'PROCESSING'), "
    "coalesce(sum(spent) FILTER (WHERE status = 'PROCESSING'), 0), "
    "coalesce(max(spent) FILTER (WHERE status = 'PROCESSING'), 0) "
    "FROM (SELECT e.*, CAST(extract(epoch FROM e.at - lag(e.at) OVER (PARTITION BY e.task_id ORDER BY e.id)) "
    "      AS double precision) AS spent "
    "      FROM task_events AS e WHERE e.task_id = ANY(CAST(:tasks AS uuid[])) "
    "      AND e.at > CAST(:oldest AS timestamptz) - interval '7 days' AND e.at <= :newest) AS event "
    "WHERE id = ANY(CAST(:ids AS bigint[])) "
    "GROUP BY 1, 2, 3, 4 "
    "ON CONFLICT (minute, owner_id, type, status) DO UPDATE SET "
    "n = stat.n + excluded.n, ran = stat.ran + excluded.ran, "
    "run_seconds = stat.run_seconds + excluded.run_seconds, "
    "longest_run_seconds = greatest(stat.longest_run_seconds, excluded.longest_run_seconds), "
    "waited = stat.waited + excluded.waited, wait_seconds = stat.wait_seconds + excluded.wait_seconds, "
    "longest_wait_seconds = greatest(stat.longest_wait_seconds, excluded.longest_wait_seconds)"
)


def add(session: Session, events: Sequence[Numbered]) -> None:
    """Add events to their minutes; the caller sees that each is added once."""
    if not events:
        return
    moments = [event.at for event in events]
    ids = [event.event_id for event in events]
    tasks = list({event.task_id for event in events})
    use_indexes(session)
    session.execute(_ADD, {"ids": ids, "tasks": tasks, "oldest": min(moments), "newest": max(moments)})


def prune(session: Session, *, before: datetime) -> int:
    """Forget a batch of minutes that are too old; returns how many rows went."""
    statement = sa.text(
        "DELETE FROM task_stats WHERE ctid = ANY(ARRAY(SELECT ctid FROM task_stats WHERE minute < :before "
        "LIMIT :limit)) RETURNING 1"
    )
    return len(session.execute(statement, {"before": before, "limit": BATCH}).all())
