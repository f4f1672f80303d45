"""Duty: find hints that were lost on the way and publish them again; leave a backlog alone."""

from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.database import in_transaction
from app.dispatcher.dispatch import publish
from app.dispatcher.duty import Look
from app.messaging import Hint, Publisher
from app.services import hints
from app.services.hints import Unclaimed

log = structlog.get_logger(__name__)

BATCH = 1_000


class LostHints:
    """Compares what is dispatched with what the queues can still hold."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._look = Look()
        self._empty_at: dict[str, datetime] = {}

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many rows were looked at."""
        since = self._look.since(now)
        queues = in_transaction(lambda session: sorted({row.hint.queue for row in self._due(session, since, now)}))
        for queue in queues:
            self._see_whether_empty(queue, now)
        looked, lost = in_transaction(lambda session: self._sort_out(session, since, now))
        if looked < BATCH:
            self._look.found_nothing_more(now)
        if lost:
            log.info("hints_lost", count=len(lost))
            publish(self._publisher, [Hint.of(row.hint) for row in lost], now)
        return looked

    def _due(self, session: Session, since: datetime, now: datetime) -> list[Unclaimed]:
        return hints.unclaimed(session, since=since, now=now, limit=BATCH)

    def _see_whether_empty(self, queue: str, now: datetime) -> None:
        # Raises when the broker is away: then nothing is known, and no row is touched.
        if self._publisher.ready_count(queue) == 0:
            self._empty_at[queue] = now

    def _sort_out(self, session: Session, since: datetime, now: datetime) -> tuple[int, list[Unclaimed]]:
        due = self._due(session, since, now)
        passed = hints.passed_at(session)
        lost = [row for row in due if hints.is_lost(row, empty_at=self._empty_at, passed=passed)]
        lost_ids = {row.hint.id for row in lost}
        hints.published_again(session, sorted(lost_ids), now=now)
        hints.look_later(session, sorted({row.hint.id for row in due} - lost_ids), now=now)
        return len(due), lost
