"""Duty: look at tasks whose children have ended, and wake those that waited for them."""

from datetime import datetime

import structlog

from app.database import in_transaction
from app.dispatcher.duty import run_isolated
from app.services.durable import advancing

log = structlog.get_logger(__name__)

BATCH = 200


class Waiting:
    """Any number of dispatchers may do this: a task is looked at by the one that has locked it."""

    def run_once(self, now: datetime) -> int:
        """One batch, a transaction for each task; returns how many were looked at."""
        tasks = in_transaction(lambda session: advancing.woken(session, limit=BATCH))
        looked_at = run_isolated(
            tasks, lambda task_id: in_transaction(lambda session: advancing.advance(session, task_id, now=now))
        )
        if looked_at:
            log.debug("waiting_tasks_looked_at", count=looked_at)
        return looked_at
