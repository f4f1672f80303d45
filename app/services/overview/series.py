"""What happened lately, over time: read off the newest events, so many and no more.

Where more happens than is read, the time that is shown becomes shorter, never the numbers wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

MOST_EVENTS = 30_000
MOST_CLAIMS = 1_500
COUNTS = ("submitted", "completed", "failed", "retried")
BUCKETS = 60
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds that people can read off an axis

# The days bound the partitions, not the rows: within them ids are read from the newest on, without looking at times.
_RECENT = (
    "SELECT e.id, e.at, e.task_id, e.status, e.previous_status, e.attempt FROM task_events e "
    "WHERE e.at >= :first_day ORDER BY e.id DESC LIMIT :most"
)
_SPAN = sa.text(f"SELECT count(*) AS events, min(at) AS oldest FROM ({_RECENT}) AS recent")
_THEIRS = "AND (CAST(:owner AS uuid) IS NULL OR EXISTS (SELECT FROM tasks WHERE id = task_id AND owner_id = :owner))"
_COUNTED = sa.text(
    "SELECT floor(extract(epoch FROM at) / :width)::bigint * :width AS bucket, "
    "count(*) FILTER (WHERE previous_status IS NULL) AS submitted, "
    "count(*) FILTER (WHERE status = 'COMPLETED') AS completed, "
    "count(*) FILTER (WHERE status = 'FAILED') AS failed, "
    "count(*) FILTER (WHERE status = 'RETRYING') AS retried, "
    "count(*) FILTER (WHERE status = 'PROCESSING' AND attempt = 1) AS claimed, "
    "sum((status IN ('PENDING', 'RETRYING'))::int - coalesce((previous_status IN ('PENDING', 'RETRYING'))::int, 0)) "
    f"AS change FROM ({_RECENT}) AS recent WHERE at >= :since {_THEIRS} GROUP BY 1"
)
_WAITED = sa.text(
    "SELECT floor(extract(epoch FROM at) / :width)::bigint * :width AS bucket, "
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS median, "
    "percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95 FROM ("
    "SELECT c.at, extract(epoch FROM c.at - greatest(t.created_at, t.scheduled_at)) AS waited "
    f"FROM (SELECT at, task_id FROM ({_RECENT}) AS recent WHERE at >= :since AND status = 'PROCESSING' "
    "AND attempt = 1 AND id % :stride = 0) AS c JOIN tasks t ON t.id = c.task_id "
    "WHERE CAST(:owner AS uuid) IS NULL OR t.owner_id = :owner) AS claims GROUP BY 1"
)


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
    parameters: dict[str, Any] = {"first_day": first_day, "most": MOST_EVENTS, "owner": owner}
    span = session.execute(_SPAN, parameters).one()
    if span.events >= MOST_EVENTS:
        since = max(since, span.oldest)
    width = width_for(now - since)
    since = datetime.fromtimestamp(int(since.timestamp()) // width * width + width, tz=UTC)
    parameters |= {"since": since, "width": width}
    counted = {row.bucket: row for row in session.execute(_COUNTED, parameters)}
    claims = sum(row.claimed for row in counted.values())
    waits: dict[int, Any] = {}
    if claims:
        parameters["stride"] = max(1, claims // MOST_CLAIMS)
        waits = {row.bucket: row for row in session.execute(_WAITED, parameters)}
    times = list(range(int(since.timestamp()), int(now.timestamp()) + 1, width))
    return _series(times, width, counted, waits, waiting)


def width_for(window: timedelta) -> int:
    """The narrowest of WIDTHS that divides a window into no more than BUCKETS. Pure."""
    seconds = window.total_seconds()
    return next((width for width in WIDTHS if seconds / width <= BUCKETS), WIDTHS[-1])


def _series(times: list[int], width: int, counted: Mapping[int, Any], waits: Mapping[int, Any], waiting: int) -> Series:
    def column(name: str) -> list[int]:
        return [int(getattr(counted[time], name)) if time in counted else 0 for time in times]

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
        wait_median=[_seconds(waits[time].median) if time in waits else None for time in ended],
        wait_p95=[_seconds(waits[time].p95) if time in waits else None for time in ended],
        totals={name: sum(values) for name, values in counts.items()},
        **{name: values[:-1] for name, values in counts.items()},
    )


def _seconds(value: float) -> float:
    return round(max(float(value), 0.0), 3)
