"""What happened lately, over time: read off the newest events, so many and no more.

Where more happens than is read, the time that is shown becomes shorter, never the numbers wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session

MAX_EVENTS = 20_000
MAX_CLAIMS = 1_500
COUNTS = ("submitted", "completed", "failed", "retried")
BUCKETS = 60
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds that people can read off an axis

# The days bound the partitions, not the rows: within them ids are read from the newest on, without looking at times.
_NEWEST = "FROM task_events WHERE at >= :first_day ORDER BY id DESC"
_OLDEST_READ = sa.text(f"SELECT at {_NEWEST} OFFSET :most - 1 LIMIT 1")  # from the primary key alone, which holds `at`
_READ = sa.text(f"""
    WITH recent AS MATERIALIZED (
        SELECT id, at, task_id, status, previous_status, attempt,
            floor(extract(epoch FROM at) / :width)::bigint * :width AS bucket
        FROM (SELECT id, at, task_id, status, previous_status, attempt {_NEWEST} LIMIT :most) AS newest
        WHERE at >= :since
            AND (CAST(:owner AS uuid) IS NULL OR EXISTS (SELECT FROM tasks WHERE id = task_id AND owner_id = :owner))
    ),
        -- Ids modulo a prime: a sample from all of the time, the same at each look.
        claims AS (
            SELECT at, task_id, bucket
            FROM recent
            WHERE status = 'PROCESSING' AND attempt = 1
            ORDER BY id % 1009
            LIMIT :claims
        ), waits AS (
            SELECT bucket, percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS median,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95
            FROM (
                SELECT bucket, extract(epoch FROM claims.at - greatest(created_at, scheduled_at)) AS waited
                FROM claims
                JOIN tasks ON tasks.id = claims.task_id
            ) AS waited
            GROUP BY bucket
        ), counted AS (
            SELECT bucket, count(*) FILTER (WHERE previous_status IS NULL) AS submitted,
                count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
                count(*) FILTER (WHERE status = 'FAILED') AS failed,
                count(*) FILTER (WHERE status = 'RETRYING') AS retried, sum(
                    (status IN ('PENDING', 'RETRYING'))::int - coalesce(
                        (previous_status IN ('PENDING', 'RETRYING'))::int, 0
                    )
                ) AS change
            FROM recent
            GROUP BY bucket
        )
    SELECT bucket, submitted, completed, failed, retried, change, median, p95
    FROM counted
    LEFT JOIN waits USING (bucket)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Columns of equal length. `times`: when each stretch of `width_seconds` began (seconds since 1970).

    Counts are per stretch; `depth` is how many waited at its end; waits are in seconds, None where nothing started.
    """

    width_seconds: int
    times: list[int]
    submitted: list[int]
    completed: list[int]
    failed: list[int]
    retried: list[int]
    depth: list[int]
    wait_median: list[float | None]
    wait_p95: list[float | None]
    totals: Mapping[str, int]
    """Of all counts, the stretch that has not ended included, which the columns leave out."""


def recent(session: Session, *, owner: UUID | None, waiting: int, now: datetime, window: timedelta) -> Series:
    """The last stretch of time, at most `window` long; `waiting` is how many wait now."""
    since = now - window
    first_day = since.replace(hour=0, minute=0, second=0, microsecond=0)
    parameters: dict[str, Any] = {"first_day": first_day, "most": MAX_EVENTS, "owner": owner}
    oldest_read = session.scalar(_OLDEST_READ, parameters)
    if oldest_read is not None:
        since = max(since, oldest_read)
    width = width_for(now - since)
    since = datetime.fromtimestamp(int(since.timestamp()) // width * width + width, tz=UTC)
    parameters |= {"since": since, "width": width, "claims": MAX_CLAIMS}
    buckets = {row.bucket: row for row in session.execute(_READ, parameters)}
    times = list(range(int(since.timestamp()), int(now.timestamp()) + 1, width))
    return _series(times, width, buckets, waiting)


def width_for(window: timedelta) -> int:
    """The narrowest of WIDTHS that divides a window into no more than BUCKETS. Pure."""
    seconds = window.total_seconds()
    return next((width for width in WIDTHS if seconds / width <= BUCKETS), WIDTHS[-1])


def _series(times: list[int], width: int, buckets: Mapping[int, Any], waiting: int) -> Series:
    def column(name: str) -> list[int]:
        return [int(getattr(buckets[time], name)) if time in buckets else 0 for time in times]

    depth, left = [], waiting
    for change in reversed(column("change")):
        depth.append(max(left, 0))
        left -= change
    ended = times[:-1]
    counts = {name: column(name) for name in COUNTS}
    return Series(
        width_seconds=width,
        times=ended,
        depth=depth[:0:-1],
        wait_median=[_seconds(buckets[time].median) if time in buckets else None for time in ended],
        wait_p95=[_seconds(buckets[time].p95) if time in buckets else None for time in ended],
        totals={name: sum(values) for name, values in counts.items()},
        **{name: values[:-1] for name, values in counts.items()},
    )


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(max(float(value), 0.0), 3)
