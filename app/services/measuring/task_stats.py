"""Per-minute statistics: counts, run times and waiting times by owner, type and status."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services.events import Before, Numbered

BATCH = 2_000

_ADD = sa.text("""
    INSERT INTO task_stats AS stat (
        minute, owner_id, type, status, n, ran, run_seconds, longest_run_seconds, waited, wait_seconds,
        longest_wait_seconds
    )
    SELECT *
    FROM unnest(
        CAST(:minutes AS timestamptz[]), CAST(:owners AS uuid[]), CAST(:types AS text[]), CAST(:statuses AS text[]),
        CAST(:n AS bigint[]), CAST(:ran AS bigint[]), CAST(:run_seconds AS float8[]), CAST(:longest_run AS float8[]),
        CAST(:waited AS bigint[]), CAST(:wait_seconds AS float8[]), CAST(:longest_wait AS float8[])
    )
    ON CONFLICT (minute, owner_id, type, status) DO UPDATE SET n = stat.n + excluded.n, ran = stat.ran + excluded.ran,
        run_seconds = stat.run_seconds + excluded.run_seconds,
        longest_run_seconds = greatest(stat.longest_run_seconds, excluded.longest_run_seconds),
        waited = stat.waited + excluded.waited, wait_seconds = stat.wait_seconds + excluded.wait_seconds,
        longest_wait_seconds = greatest(stat.longest_wait_seconds, excluded.longest_wait_seconds)
""")


@dataclass(slots=True)
class _Tally:
    """What a minute has of one owner, type and status; times in seconds."""

    n: int = 0
    ran: int = 0
    run_seconds: float = 0.0
    longest_run: float = 0.0
    waited: int = 0
    wait_seconds: float = 0.0
    longest_wait: float = 0.0

    def take(self, event: Numbered, before: datetime | None) -> None:
        self.n += 1
        if before is None:
            return
        spent = (event.at - before).total_seconds()  # in the status that it leaves
        if event.previous_status == "PROCESSING":
            self.ran += 1
            self.run_seconds += spent
            self.longest_run = max(self.longest_run, spent)
        if event.status == "PROCESSING":
            self.waited += 1
            self.wait_seconds += spent
            self.longest_wait = max(self.longest_wait, spent)


def add(session: Session, events: Sequence[Numbered], before: Before) -> None:
    """Add events to their minutes; the caller sees that each is added once. `before` says since when they waited."""
    tallies: defaultdict[tuple[datetime, UUID | None, str, str], _Tally] = defaultdict(_Tally)
    for event in events:
        key = event.at.replace(second=0, microsecond=0), event.owner_id, event.type, event.status
        tallies[key].take(event, before.get(event.event_id))
    if not tallies:
        return
    minutes, owners, types, statuses = (list(column) for column in zip(*tallies, strict=True))
    sums = {each.name: [getattr(tally, each.name) for tally in tallies.values()] for each in fields(_Tally)}
    session.execute(_ADD, {"minutes": minutes, "owners": owners, "types": types, "statuses": statuses, **sums})


def prune(session: Session, *, before: datetime) -> int:
    """Forget a batch of minutes that are too old; returns how many rows went."""
    statement = sa.text("""
        DELETE FROM task_stats
        WHERE ctid = ANY(ARRAY(SELECT ctid FROM task_stats WHERE minute < :before LIMIT :limit))
        RETURNING 1
    """)
    return len(session.execute(statement, {"before": before, "limit": BATCH}).all())
