"""Duty: move on what expired leases and lost workers left behind."""

import random
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.config import get_settings
from app.continuity import Continuity
from app.database import in_transaction
from app.dispatcher.duty import Look
from app.messaging import DeadLetter, bury
from app.services import rescue
from app.services.lifecycle import Claim
from app.services.rescue import Moved

log = structlog.get_logger(__name__)

BATCH = 200
UNSEEN = timedelta(seconds=15)
# A worker that lives ends the child that let its lease expire, and then moves its task on: nothing runs beside the next
# attempt. Only where that has not happened, the dispatcher does the second part. See docs/decisions/0004.
PARENT_FIRST = timedelta(seconds=3)
REMEMBER = timedelta(days=1)

GONE = sa.text(
    "SELECT id FROM workers WHERE last_seen_at > :remembered AND (last_seen_at < :unseen OR stopped_at IS NOT NULL)"
)


class Rescue:
    """Rescues only after it has been connected for one whole lease: after an outage every worker may renew first."""

    def __init__(self, connected: Continuity) -> None:
        self._connected = connected
        self._lease = timedelta(seconds=get_settings().lease_seconds)
        self._look = Look()
        self._emptied: set[str] = set()  # workers that are gone, and whose leases have been moved on

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many tasks were moved on."""
        in_transaction(lambda session: session.execute(sa.text("SELECT 1")))
        if not self._connected.for_at_least(UNSEEN, now):
            return 0
        moved = in_transaction(lambda session: self._lost_workers(session, now))
        if self._connected.for_at_least(self._lease + PARENT_FIRST, now):
            moved += self._expired_leases(now)
        if moved.count:
            log.warning("rescued", count=moved.count, failed=len(moved.dead))
        bury(*(_letter(held) for held in moved.dead))
        return moved.count

    def _expired_leases(self, now: datetime) -> Moved:
        since, before = self._look.since(now), now - PARENT_FIRST
        moved = in_transaction(
            lambda session: rescue.expired_leases(
                session, since=since, before=before, now=now, limit=BATCH, random=random.random
            )
        )
        if moved.count < BATCH:
            self._look.found_nothing_more(before)
        return moved

    def _lost_workers(self, session: Session, now: datetime) -> Moved:
        gone = set(session.scalars(GONE, {"remembered": now - REMEMBER, "unseen": now - UNSEEN}))
        self._emptied &= gone  # one that was only frozen, or cut off, may be back and take tasks again
        to_empty = gone - self._emptied
        if not to_empty:
            return Moved()
        moved = rescue.lost_workers(session, to_empty, now=now, limit=BATCH, random=random.random)
        if moved.count < BATCH:
            self._emptied |= to_empty
        return moved


def _letter(held: Claim) -> DeadLetter:
    reason = "its worker was lost, and no retry is left"
    return DeadLetter(reason=reason, task_id=str(held.id), type=held.type, detail={"error": "WorkerLost"})
