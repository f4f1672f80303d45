"""Duty: hints that were lost are published again, those that wait too long get a boost, a backlog is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from app.config import get_settings
from app.database import Session, in_transaction
from app.dispatcher.dispatch import publish
from app.dispatcher.duty import ScanCursor
from app.messaging import Hint, Publisher, publish_each
from app.services.dispatch import boosts, hints, positions
from app.services.dispatch.hints import Unclaimed
from app.services.remote import lost_hints as lost_rows
from app.services.remote.queues import is_remote

log = structlog.get_logger(__name__)

BATCH = 1_000


@dataclass(frozen=True, kw_only=True)
class ClassifiedHints:
    """What became of a batch of rows whose hints were not claimed yet."""

    looked: int
    lost: Sequence[Unclaimed]
    to_boost: Sequence[Unclaimed]


class LostHints:
    """Compares what is dispatched with what the queues can still hold."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._look = ScanCursor()
        self._empty_at: dict[str, datetime] = {}
        self._boost_after = timedelta(seconds=get_settings().aging_seconds)

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many rows were looked at."""
        since = self._look.since(now)
        for queue in in_transaction(
            lambda session: hints.queues_of_unclaimed(session, since=since, now=now, limit=BATCH)
        ):
            if not is_remote(queue):
                self._see_whether_empty(queue, now)
        batch = in_transaction(lambda session: self._sort_out(session, since, now))
        if batch.looked < BATCH:
            self._look.found_nothing_more(now)
        if batch.lost:
            log.info("hints_lost", count=len(batch.lost))
            publish(self._publisher, [Hint.of(row.hint) for row in batch.lost], now)
        self._boost(batch.to_boost, now)
        return batch.looked

    def _boost(self, rows: Sequence[Unclaimed], now: datetime) -> None:
        # Counted only once it went out: a boost that the broker did not take is taken at the next look.
        boosted = {row.hint.id: row.boosted(after=self._boost_after, now=now) for row in rows}
        published = publish_each(self._publisher, [_boosted_hint(row) for row in boosted.values()])
        unsent = {id_ for hint in published.unsent for id_ in hint.ids}
        gone_out = [row for id_, row in boosted.items() if id_ not in unsent]
        in_transaction(lambda session: hints.look_later(session, gone_out, after=self._boost_after, now=now))
        if published.error is not None:
            raise published.error

    def _see_whether_empty(self, queue: str, now: datetime) -> None:
        # Raises when the broker is away: then nothing is known, and no row is touched.
        if self._publisher.ready_count(queue) == 0:
            self._empty_at[queue] = now

    def _sort_out(self, session: Session, since: datetime, now: datetime) -> ClassifiedHints:
        due = hints.unclaimed(session, since=since, now=now, limit=BATCH)
        passed = positions.passed_at(session)
        known = hints.known_types(session, now=now)
        remote = [row for row in due if is_remote(row.hint.queue)]
        messages = [row for row in due if not is_remote(row.hint.queue)]
        # A worker that does not know a type puts its hints away: another one would change nothing.
        unknown_types = [row for row in messages if known is not None and row.hint.type not in known]
        ours = [row for row in messages if known is None or row.hint.type in known]
        lost = [row for row in ours if hints.is_lost(row, empty_at=self._empty_at, passed=passed)]
        lost += lost_rows.lost(session, remote, now=now)
        gone = {row.hint.id for row in lost}
        waiting = [row for row in (*ours, *remote) if row.hint.id not in gone]
        hints.published_again(session, lost, now=now)
        hints.look_later(session, waiting, after=self._boost_after, now=now)
        hints.look_later(session, unknown_types, after=None, now=now)
        return ClassifiedHints(
            looked=len(due), lost=lost, to_boost=[row for row in waiting if self._is_boost_due(row, now)]
        )

    def _is_boost_due(self, row: Unclaimed, now: datetime) -> bool:
        at = row.next_boost_at(self._boost_after)
        return at is not None and at <= now


def _boosted_hint(row: Unclaimed) -> Hint:
    """Another hint at the task's level; whichever arrives first runs it, the other finds it taken."""
    return replace(Hint.of(row.hint), priority=boosts.level(row.hint.priority, row.boosts))
