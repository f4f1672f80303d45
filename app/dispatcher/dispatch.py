"""Duty: dispatch what is due. Rows first, committed, and then the hints."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from app.database import in_transaction
from app.dispatcher.duty import Look
from app.messaging import Hint, Publisher, coalesce
from app.services import hints, lifecycle

log = structlog.get_logger(__name__)

BATCH = 500
HOLD_AFTER_FAULT = timedelta(seconds=5)


class Dispatch:
    """Moves due rows to PENDING and publishes their hints."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._look, self._look_for_expired = Look(), Look()

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many rows were moved."""
        expired = self._expire(now)
        self._publisher.connect()  # with the broker down this raises, and no row is touched
        since = self._look.since(now)
        due = in_transaction(lambda session: lifecycle.fall_due(session, since=since, now=now, limit=BATCH))
        if len(due) < BATCH:
            self._look.found_nothing_more(now)
        publish(self._publisher, [Hint.of(row) for row in due], now)
        return expired + len(due)

    def _expire(self, now: datetime) -> int:
        since = self._look_for_expired.since(now)
        expired = in_transaction(lambda session: lifecycle.expire(session, since=since, now=now, limit=BATCH))
        if expired < BATCH:
            self._look_for_expired.found_nothing_more(now)
        return expired


def publish(publisher: Publisher, singles: Sequence[Hint], now: datetime) -> None:
    """Publish hints outside of any transaction; the rows of those that were not confirmed are held by the ledger."""
    chunks = coalesce(singles)
    for position, hint in enumerate(chunks):
        try:
            publisher.publish(hint)
        except publisher.errors as error:
            _hold(chunks[position:], now, error)
            return


def _hold(unsent: Sequence[Hint], dispatched_at: datetime, error: BaseException) -> None:
    ids = [id_ for hint in unsent for id_ in hint.ids]
    log.warning("hints_not_confirmed", count=len(ids), error=f"{type(error).__name__}: {error}")
    until = dispatched_at + HOLD_AFTER_FAULT
    in_transaction(lambda session: hints.hold(session, ids, dispatched_at=dispatched_at, until=until))
