"""Duty: move on the runs whose tasks ended by another door than a worker's outcome."""

from datetime import datetime, timedelta

import structlog

from app.database import in_transaction
from app.dispatcher.duty import run_isolated
from app.services.workflows import upkeep

log = structlog.get_logger(__name__)

BATCH = 100
LOOK_FOR_STUCK_EVERY = timedelta(seconds=30)


class Workflows:
    """Any number of dispatchers may do this: a run is moved on by who has locked it."""

    def __init__(self) -> None:
        self._looked_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """One batch, a transaction for each run; returns how many were moved on."""
        runs = in_transaction(lambda session: upkeep.with_news(session, limit=BATCH))
        if self._looked_at is None or now - self._looked_at >= LOOK_FOR_STUCK_EVERY:
            self._looked_at = now
            runs += in_transaction(lambda session: upkeep.stuck(session, now=now, limit=BATCH))
        moved = run_isolated(
            dict.fromkeys(runs),
            lambda run_id: in_transaction(lambda session: upkeep.move_on(session, run_id, now=now)),
        )
        if moved:
            log.info("runs_moved_on", count=moved)
        return moved
