"""Duty: forget what is old, in small batches, and keep the history's daily partitions ahead of time."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import OperationalError

from app.config import get_settings
from app.database import LOCK_NOT_AVAILABLE, Session, in_transaction, sqlstate
from app.services import circuits, repairs, retention, schedules, triggers, webhooks
from app.services.measuring import task_stats
from app.services.retention import Ages
from app.services.submission import uniqueness
from app.services.workflows import upkeep

log = structlog.get_logger(__name__)

DELIVERIES_KEPT = timedelta(days=30)
REST_SECONDS = 0.1  # between batches: some 4,000 tasks a second go, and whoever submits does not feel it
PARTITIONS_EVERY = timedelta(seconds=50)  # once in each round of the duty, whose minute varies by a tenth


class Retention:
    """One batch of each kind a run; the duty runs again at once while there is more."""

    def __init__(self) -> None:
        settings = get_settings()
        self._ages = Ages.in_days(
            completed=settings.retention_completed_days,
            failed=settings.retention_failed_days,
            cancelled=settings.retention_cancelled_days,
            events=settings.retention_events_days,
        )
        self._pruner = retention.Pruner()
        self._partitions_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """Prune one batch; returns how many rows went."""
        self._keep_event_partitions(now)
        tasks = in_transaction(lambda session: self._pruner.prune_tasks(session, self._ages, now=now))
        keys = in_transaction(lambda session: retention.prune_idempotency_keys(session, now=now))
        in_transaction(lambda session: retention.prune_workers(session, now=now))
        in_transaction(lambda session: retention.prune_work_claims(session, now=now))
        told = in_transaction(lambda session: webhooks.prune(session, before=now - DELIVERIES_KEPT))
        told += in_transaction(lambda session: webhooks.give_up(session, now=now, limit=retention.BATCH))
        in_transaction(lambda session: circuits.prune(session, now=now, limit=retention.BATCH))
        events = in_transaction(lambda session: self._prune_event_log(session, now))
        runs = in_transaction(lambda session: upkeep.prune(session, self._ages, now=now, limit=retention.BATCH))
        stray = in_transaction(lambda session: retention.prune_default_events(session, self._ages, now=now))
        places = in_transaction(lambda session: uniqueness.forget(session, now=now, limit=retention.BATCH))
        slots = in_transaction(lambda session: self._prune_slots(session, now))
        mended = in_transaction(lambda session: self._prune_repairs(session, now))
        outside = in_transaction(lambda session: self._prune_outside_events(session, now))
        return tasks + runs + keys + told + events + stray + places + slots + mended + outside

    def _keep_event_partitions(self, now: datetime) -> None:
        if self._partitions_at is not None and now - self._partitions_at < PARTITIONS_EVERY:
            return
        self._partitions_at = now
        _unless_locked(lambda session: retention.make_event_partitions(session, now=now))
        _unless_locked(lambda session: retention.drop_event_partitions(session, self._ages, now=now))

    def _prune_event_log(self, session: Session, now: datetime) -> int:
        """The numbers of events, and the statistics made of them, go with the history."""
        if self._ages.events is None:
            return 0
        before = now - self._ages.events
        batches = retention.prune_event_batches(session, before=before)
        return batches + task_stats.prune(session, before=before)

    def _prune_repairs(self, session: Session, now: datetime) -> int:
        """A repair tells what was changed, as the history does, and goes with it."""
        if self._ages.events is None:
            return 0
        return repairs.prune(session, before=now - self._ages.events, limit=retention.BATCH)

    def _prune_slots(self, session: Session, now: datetime) -> int:
        """What became of old slots is history, and goes with it."""
        if self._ages.events is None:
            return 0
        return schedules.prune_slots(session, before=now - self._ages.events, limit=retention.BATCH)

    def _prune_outside_events(self, session: Session, now: datetime) -> int:
        """What happened elsewhere is history, too."""
        if self._ages.events is None:
            return 0
        return triggers.prune(session, before=now - self._ages.events, limit=retention.BATCH)


def _unless_locked(work: Callable[[Session], None]) -> None:
    try:
        in_transaction(work)
    except OperationalError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        log.info("partitions_postponed", error=str(error.orig).strip())
