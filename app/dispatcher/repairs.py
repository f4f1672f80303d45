"""Duty: go on with repairs: look what became of their tasks, replay the next ones, stop, undo."""

from datetime import datetime

from app.config import get_settings
from app.database import in_transaction
from app.dispatcher.duty import run_isolated
from app.services import repairs

EVERY_SECONDS = 0.2
REST_SECONDS = 0.1  # between batches: with batches of 200, two thousand tasks a second


class Repairs:
    """Any number of dispatchers may do this: a repair is gone on with by the one that has locked it."""

    def run_once(self, now: datetime) -> int:
        """One step of each repair, a transaction for each; returns how many tasks were moved."""
        unsettled = in_transaction(repairs.unsettled)
        settings = get_settings()
        return run_isolated(
            unsettled,
            lambda repair_id: in_transaction(
                lambda session: repairs.step(session, repair_id, settings=settings, now=now)
            ),
        )
