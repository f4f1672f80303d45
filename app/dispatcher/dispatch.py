"""Duty: dispatch what is due. Rows first, committed, and then the hints."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from app.database import Session, in_transaction
from app.dispatcher.duty import ScanCursor
from app.messaging import Hint, Published, Publisher, coalesce, publish_each
from app.services import lifecycle
from app.services.lifecycle import Waiting, hints
from app.services.remote.queues import PREFIX
from app.services.sql import arrivals
from taskledger_sdk.registry import known_types

log = structlog.get_logger(__name__)

BATCH = 1_000
PAUSE_AFTER_FAULT = timedelta(seconds=5)


class Dispatch:
    """Moves due rows to PENDING and publishes their hints."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._look, self._look_for_expired, self._look_for_woken = ScanCursor(), ScanCursor(), ScanCursor()

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many rows were moved. Raises one of the publisher's `errors`."""
        ended = self._expire_and_wake(now)
        try:
            self._publisher.connect()  # with the broker down this raises, and no row of its queues is touched
        except self._publisher.errors:
            self._dispatch_without_broker(now)
            raise
        since = self._look.since(now)
        due, moved = in_transaction(lambda session: self._take_due(session, since, now))
        if moved < BATCH:
            self._look.found_nothing_more(now)
        publish(self._publisher, [Hint.of(row) for row in due], now)
        return ended + moved

    def _dispatch_without_broker(self, now: datetime) -> None:
        """Remote types need no broker: their hints are rows."""
        if not any(kind.remote for kind in known_types().values()):
            return
        since = self._look.since(now)
        due, _ = in_transaction(
            lambda session: lifecycle.fall_due(session, since=since, now=now, limit=BATCH, prefix=PREFIX)
        )
        publish(self._publisher, [Hint.of(row) for row in due], now)

    def _take_due(self, session: Session, since: datetime, now: datetime) -> tuple[list[Waiting], int]:
        arrived = arrivals.take(session)
        if arrived is not None and arrived < since:
            self._look.reach_back(arrived)
            self._look_for_expired.reach_back(arrived)
            self._look_for_woken.reach_back(arrived)
            since = arrived
        return lifecycle.fall_due(session, since=since, now=now, limit=BATCH)

    def _expire_and_wake(self, now: datetime) -> int:
        """End what has expired, and make due what waited for a moment, whether or not a broker is there.

        Both in one transaction: each looks five times a second. The cursors move on once it is committed.
        """
        works = ((self._look_for_expired, lifecycle.expire), (self._look_for_woken, lifecycle.wake_due))

        def work_all(session: Session) -> list[int]:
            return [work(session, since=cursor.since(now), now=now, limit=BATCH) for cursor, work in works]

        counts = in_transaction(work_all)
        for (cursor, _), count in zip(works, counts, strict=True):
            if count < BATCH:
                cursor.found_nothing_more(now)
        return sum(counts)


def publish(publisher: Publisher, singles: Sequence[Hint], now: datetime) -> None:
    """Publish hints outside of any transaction; the rows of those that were not confirmed are dispatched again.

    Raises one of the publisher's `errors` after that: it belongs into the duty's record.
    """
    published = publish_each(publisher, coalesce(singles))
    if published.unsent:
        _withdraw(published, now)
    if published.error is not None:
        raise published.error


def _withdraw(published: Published, dispatched_at: datetime) -> None:
    ids = [id_ for hint in published.unsent for id_ in hint.ids]
    log.warning("hints_not_confirmed", count=len(ids), error=repr(published.error) if published.error else None)
    until = dispatched_at + PAUSE_AFTER_FAULT
    in_transaction(lambda session: hints.withdraw(session, ids, dispatched_at=dispatched_at, until=until))
