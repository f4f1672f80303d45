"""Duty: forget what is old, in small batches, and keep the history's daily partitions ahead of time."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import in_transaction
from app.services import retention, schedules
from app.services.retention import Ages


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

    def run_once(self, now: datetime) -> int:
        """Prune one batch; returns how many rows went."""
        in_transaction(lambda session: retention.keep_event_partitions(session, self._ages, now=now))
        tasks = in_transaction(lambda session: self._pruner.prune_tasks(session, self._ages, now=now))
        keys = in_transaction(lambda session: retention.prune_idempotency_keys(session, now=now))
        in_transaction(lambda session: retention.prune_workers(session, now=now))
        return tasks + keys + in_transaction(lambda session: self._prune_slots(session, now))

    def _prune_slots(self, session: Session, now: datetime) -> int:
        """What became of old slots is history, and goes with it."""
        if self._ages.events is None:
            return 0
        return schedules.prune_slots(session, before=now - self._ages.events, limit=retention.BATCH)
