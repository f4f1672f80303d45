"""Duty: fire the slots that have come; keep next moments true to the zone data."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.database import in_transaction, is_away
from app.dispatcher.duty import run_isolated
from app.services import schedules

log = structlog.get_logger(__name__)

BATCH = 500
RECOMPUTE_EVERY = timedelta(days=1)


class Schedules:
    """Any number of dispatchers may do this: each slot has one row, and its task is written with it."""

    def __init__(self) -> None:
        self._recompute_at: datetime | None = None
        self._recomputed: UUID | None = None  # how far the round has come; None: no round is under way

    def run_once(self, now: datetime) -> int:
        """One batch of each kind; returns how many schedules were looked at."""
        return run_isolated((self._recompute, self._fire_all), lambda part: part(now))

    def _fire_all(self, now: datetime) -> int:
        try:
            return self._fire(now)
        except Exception as error:
            if is_away(error):
                raise
            log.warning("schedules_fired_one_by_one", error=f"{type(error).__name__}: {error}")
        # One that cannot be looked at comes first each time, and would be in the way of all others for ever.
        ids = in_transaction(lambda session: schedules.with_something_to_fire(session, now=now, limit=BATCH))
        return run_isolated(ids, lambda id_: self._fire(now, only=id_))

    def _fire(self, now: datetime, *, only: UUID | None = None) -> int:
        due = in_transaction(lambda session: schedules.fire_due(session, now=now, limit=BATCH, only=only))
        released = in_transaction(lambda session: schedules.fire_released(session, now=now, limit=BATCH, only=only))
        return due + released

    def _recompute(self, now: datetime) -> int:
        """At start and daily, every schedule once: by zone data that is read anew."""
        if self._recomputed is None:
            if self._recompute_at is not None and now < self._recompute_at:
                return 0
            schedules.forget_zone_data()
            self._recompute_at, self._recomputed = now + RECOMPUTE_EVERY, schedules.FIRST_ID
        after = self._recomputed
        moved, self._recomputed = in_transaction(
            lambda session: schedules.recompute(session, after=after, now=now, limit=BATCH)
        )
        if moved:
            log.info("schedules_moved", count=moved)
        return moved if self._recomputed is None else moved + 1
