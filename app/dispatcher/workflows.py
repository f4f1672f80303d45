"""Duty: advance the runs whose tasks ended otherwise than by a worker's outcome."""

from datetime import datetime, timedelta

import structlog

from app.database import in_transaction
from app.dispatcher.duty import run_isolated
from app.services.workflows import upkeep

log = structlog.get_logger(__name__)

BATCH = 100
LOOK_FOR_STUCK_EVERY = timedelta(seconds=30)


class Workflows:
    """Any number of dispatchers may do this: a run is advanced by the one that has locked it."""

    def __init__(self) -> None:
        self._looked_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """One batch, a transaction for each run; returns how many were advanced."""
        runs = in_transaction(lambda session: upkeep.woken(session, limit=BATCH))
        if self._looked_at is None or now - self._looked_at >= LOOK_FOR_STUCK_EVERY:
            self._looked_at = now
            runs += in_transaction(lambda session: upkeep.stuck(session, now=now, limit=BATCH))
        advanced = run_isolated(
            dict.fromkeys(runs),
            lambda run_id: in_transaction(lambda session: upkeep.advance(session, run_id, now=now)),
        )
        if advanced:
            log.info("runs_advanced", count=advanced)
        return advanced + self._cancel_orphans(now)

    def _cancel_orphans(self, now: datetime) -> int:
        orphans = in_transaction(lambda session: upkeep.orphaned(session, limit=BATCH))
        cancelled = run_isolated(
            orphans, lambda run_id: in_transaction(lambda session: upkeep.cancel(session, run_id, now=now))
        )
        if cancelled:
            log.info("runs_cancelled_with_their_step", count=cancelled)
        return cancelled
