"""Out of the outbox: the next events in order, their numbers made durable first, deleted once they are published.

For one reader at a time (the caller holds the lock). A task's events are in the order of their ids, and an event that
is committed late only moves to the front: whatever is in the outbox is published, so no cursor can pass over it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import sqlalchemy as sa

from app.database import Session, array, commit_asynchronously, use_indexes
from app.messaging import Numbered
from app.services.events.log import load

CHANNEL = "taskledger_events"
"""Who listens there is told the newest position after each batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Events that are published together, with the numbers they have for good."""

    first_position: int
    last_position: int
    event_ids: Sequence[int]
    events: Sequence[Numbered]


@dataclass(slots=True)
class Head:
    """Where the outbox begins, so that a look does not walk over the index entries of what was deleted.

    Ids up to a mark are passed only when every transaction that may have drawn one of them has ended, in whatever
    database. Until that holds, and now and then in any case, a look begins at the very first row: a transaction that
    stays open costs time here, never an event.
    """

    passed: int = 0
    _mark: int = 0
    _drawn_before: int | None = None
    """Ids up to the mark were drawn by transactions with lower ids than this one."""

    def saw(self, ids: Sequence[int], *, oldest_running: int) -> None:
        """Take note of a look: the ids found, oldest first, and the oldest transaction of the same snapshot."""
        if self._drawn_before is not None and oldest_running >= self._drawn_before:
            self.passed, self._drawn_before = max(self.passed, min(self._mark, ids[0] - 1)), None
        if self._drawn_before is None:
            self._mark = max(self._mark, ids[-1])

    def marked_before(self, transaction: int) -> None:
        """Whoever drew an id up to the mark had its transaction id by now: it is lower than this fresh one."""
        if self._drawn_before is None:
            self._drawn_before = transaction

    def look_at_everything(self) -> None:
        """Begin at the first row again."""
        self.passed, self._drawn_before = 0, None


# In one row: a thousand cost Python more than PostgreSQL.
_NEXT = sa.text("""
    SELECT array_agg(event_id ORDER BY event_id) AS event_ids, min(at) AS oldest_at, max(at) AS newest_at,
        CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS oldest_running
    FROM (SELECT event_id, at FROM event_outbox WHERE event_id > :passed ORDER BY event_id LIMIT :limit) AS next
""")
_OLDEST = sa.text("SELECT min(at) FROM event_outbox")
_LAST = sa.text("SELECT * FROM event_batches ORDER BY first_position DESC LIMIT 1")
_NUMBER = sa.text("""
    INSERT INTO event_batches (first_position, last_position, event_ids, oldest_at, newest_at)
    VALUES (:first_position, :last_position, CAST(:event_ids AS bigint[]), :oldest_at, :newest_at)
    RETURNING CAST(CAST(pg_current_xact_id() AS text) AS bigint)
""")
_DONE = sa.text("""
    UPDATE event_batches
    SET published_at = :now
    WHERE first_position = :first AND published_at IS NULL
    RETURNING last_position
""")
_DELETE = sa.text("DELETE FROM event_outbox WHERE event_id = ANY(CAST(:ids AS bigint[]))")
_TELL = sa.text("SELECT pg_notify(:channel, :last)")
_COUNT = sa.text("""
    INSERT INTO task_counts AS counted (hour, owner_id, type, previous_status, status, n)
    SELECT *
    FROM unnest(
        CAST(:hours AS timestamptz[]), CAST(:owners AS uuid[]), CAST(:types AS text[]), CAST(:befores AS text[]),
        CAST(:statuses AS text[]), CAST(:counts AS bigint[])
    )
    ON CONFLICT (hour, owner_id, type, previous_status, status) DO UPDATE SET n = counted.n + excluded.n
""")


def next_batch(session: Session, head: Head, *, limit: int) -> Batch | None:
    """The next events with their numbers, which are durable once the transaction commits; None when there are none.

    A batch that was numbered but not published, because its reader died or the broker was away, comes again as it was.
    """
    use_indexes(session, in_order=True)
    row = session.execute(_NEXT, {"passed": head.passed, "limit": limit}).one()
    if row.event_ids is None:
        return None
    head.saw(row.event_ids, oldest_running=row.oldest_running)
    last = session.execute(_LAST).first()
    if last is not None and last.published_at is None:
        numbered = dict(last._mapping)
    else:
        first = 1 if last is None else last.last_position + 1
        numbered = {
            "first_position": first,
            "last_position": first + len(row.event_ids) - 1,
            "event_ids": row.event_ids,
            "oldest_at": row.oldest_at,
            "newest_at": row.newest_at,
        }
        values = {**numbered, "event_ids": array(numbered["event_ids"])}
        head.marked_before(session.execute(_NUMBER, values).scalar_one())
    ids = numbered["event_ids"]
    numbers = dict(zip(ids, range(numbered["first_position"], numbered["last_position"] + 1), strict=True))
    return Batch(
        first_position=numbered["first_position"],
        last_position=numbered["last_position"],
        event_ids=ids,
        events=load(session, numbers, oldest=numbered["oldest_at"], newest=numbered["newest_at"]),
    )


def published(session: Session, batch: Batch, *, now: datetime) -> bool:
    """Delete exactly the rows of a batch, count its events, and tell who listens; False when that was done before."""
    # Forgotten in a crash, the batch is published again with the same numbers: nobody needs to wait for the disk.
    commit_asynchronously(session)
    if session.scalar(_DONE, {"first": batch.first_position, "now": now}) is None:
        return False
    session.execute(_DELETE, {"ids": array(batch.event_ids)})
    _count(session, batch.events)
    session.execute(_TELL, {"channel": CHANNEL, "last": str(batch.last_position)})
    return True


def oldest_at(session: Session) -> datetime | None:
    """When the oldest event happened that is not published yet; None when there is none."""
    oldest: datetime | None = session.scalar(_OLDEST)
    return oldest


_WHAT = attrgetter("owner_id", "type", "previous_status", "status")


def _count(session: Session, events: Sequence[Numbered]) -> None:
    counts = {
        (hour, *what): n for hour, those in _by_hour(events).items() for what, n in Counter(map(_WHAT, those)).items()
    }
    if not counts:
        return
    hours, owners, types, befores, statuses = (list(column) for column in zip(*counts, strict=True))
    session.execute(
        _COUNT,
        {
            "hours": hours,
            "owners": owners,
            "types": types,
            "befores": befores,
            "statuses": statuses,
            "counts": list(counts.values()),
        },
    )


def _by_hour(events: Sequence[Numbered]) -> dict[datetime, Sequence[Numbered]]:
    """Nearly always all of them are of the same hour, which is seen without a look at each."""
    moments = list(map(attrgetter("at"), events))
    if not moments:
        return {}
    first, last = _hour(min(moments)), _hour(max(moments))
    if first == last:
        return {first: events}
    hours: dict[datetime, list[Numbered]] = {}
    for event in events:
        hours.setdefault(_hour(event.at), []).append(event)
    return dict(hours)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
