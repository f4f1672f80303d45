"""The events by their publish-order number: what every consumer falls back on, whatever became of its messages.

A number is durable before its event is published, so a reader may be a moment ahead of the broker, never wrong.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec
import sqlalchemy as sa

from app.database import Session, array
from app.messaging import Numbered

PAGES_KEPT = 8  # of up to 1,000 events, some 300 kilobytes each


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Events after a number, in order; `until` is the last number that it covers, events or not.

    A number without an event belonged to a task that was deleted, or to history that is no longer kept. `missing` are
    numbers within it of which the ledger does not even know that they were given.
    """

    after: int
    until: int
    events: Sequence[Numbered]
    missing: int = 0


# A batch holds up to a thousand ids: read none that begins after the last number that is wanted.
_AFTER = sa.text("""
    WITH next AS (SELECT first_position FROM event_batches WHERE last_position > :after ORDER BY last_position LIMIT 1)
    SELECT first_position, last_position, event_ids, oldest_at, newest_at
    FROM event_batches
    WHERE first_position >= (SELECT first_position FROM next)
        AND first_position < (SELECT greatest(first_position, :after + 1) + :limit FROM next)
    ORDER BY first_position
""")
# Ids as text: events of one task and one owner come together, and making a UUID costs as much as all else of a row.
_EVENTS = sa.text("""
    SELECT e.id, CAST(e.task_id AS text), e.type, e.status, e.previous_status, e.attempt, e.worker, e.at,
        CAST(e.owner_id AS text)
    FROM task_events AS e
    WHERE e.id = ANY(CAST(:ids AS bigint[])) AND e.at >= :oldest AND e.at <= :newest
""")
_NEWEST = sa.text("SELECT last_position FROM event_batches ORDER BY last_position DESC LIMIT 1")

_NEWEST_ID = sa.text("SELECT id FROM task_events WHERE at > now() - interval '2 days' ORDER BY id DESC LIMIT 1")


def newest_id(session: Session) -> int:
    """The id of the newest event of the last two days, published or not; 0 when there is none."""
    return session.scalar(_NEWEST_ID) or 0


def newest_position(session: Session) -> int:
    """The number of the newest event; 0 before the first."""
    return session.scalar(_NEWEST) or 0


def read_after(session: Session, after: int, *, limit: int) -> Page:
    """At least one and about `limit` events that come after a number; none when there are no more."""
    numbers: dict[int, int] = {}
    until, oldest, newest, missing = after, None, None, 0
    for batch in session.execute(_AFTER, {"after": after, "limit": limit}):
        skipped = max(0, until + 1 - batch.first_position)
        missing += max(0, batch.first_position - (until + 1))
        ids = batch.event_ids[skipped : skipped + limit - len(numbers)]
        first = batch.first_position + skipped
        numbers.update(zip(ids, range(first, first + len(ids)), strict=True))
        until = first + len(ids) - 1
        oldest = batch.oldest_at if oldest is None else min(oldest, batch.oldest_at)
        newest = batch.newest_at if newest is None else max(newest, batch.newest_at)
        if len(numbers) >= limit:
            break
    events = load(session, numbers, oldest=oldest, newest=newest)
    return Page(after=after, until=until, events=events, missing=missing)


def load(
    session: Session, numbers: dict[int, int], *, oldest: datetime | None, newest: datetime | None
) -> list[Numbered]:
    """The events with these ids (number by id) in the order of their numbers; those that are gone are left out."""
    if not numbers:
        return []
    rows = session.execute(_EVENTS, {"ids": array(numbers), "oldest": oldest, "newest": newest})
    uuids = _UUIDs()
    loaded = [
        Numbered(numbers[id_], id_, uuids[task], type_, status, before, attempt, worker, at, owner and uuids[owner])
        for id_, task, type_, status, before, attempt, worker, at, owner in rows.all()
    ]
    return sorted(loaded, key=attrgetter("position"))


class Window:
    """The newest pages, read once for readers in several threads that go on from numbers near to each other.

    What is kept was read from the ledger, where an event never changes; who begins anew forgets it all the same.
    """

    def __init__(self, *, most: int = PAGES_KEPT) -> None:
        self._pages: deque[Page] = deque(maxlen=most)
        self._lock = threading.Lock()

    def read_after(self, transaction: Callable[[], AbstractContextManager[Session]], after: int, *, limit: int) -> Page:
        """As events.read_after; begins a transaction only when nobody has read these events a moment ago."""
        with self._lock:  # held while one reads: the others want the same page
            kept = self._kept(after)
            if kept is not None:
                return kept
            with transaction() as session:
                page = read_after(session, after, limit=limit)
            if page.until > page.after:
                self._pages.append(page)
            return page

    def forget(self) -> None:
        """Read everything anew."""
        with self._lock:
            self._pages.clear()

    def _kept(self, after: int) -> Page | None:
        for page in self._pages:
            if page.after == after:
                return page
            if page.after < after < page.until and not page.missing:
                rest = [event for event in page.events if event.position > after]
                return replace(page, after=after, events=rest)
        return None


class _UUIDs(dict[str, UUID]):
    """By their text, each made once."""

    def __missing__(self, text: str) -> UUID:
        self[text] = value = msgspec.convert(text, UUID)
        return value
