"""Duty: move on what expired leases and lost workers left behind."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app import clock
from app.config import get_settings
from app.connection_uptime import ConnectionUptime
from app.database import Session, in_transaction, only_short_locks, server_time
from app.dispatcher.duty import ScanCursor
from app.messaging import DeadLetter, publish_dead_letter
from app.services.dispatch import workers
from app.services.recovery import rescue
from app.services.recovery.rescue import Moved
from app.services.recovery.suspicion import CONFIRMED_AFTER_SECONDS, Suspicion

log = structlog.get_logger(__name__)

BATCH = 200
# A worker that lives ends the child that let its lease expire, and then moves its task on: nothing runs beside the next
# attempt. Only where that has not happened, the dispatcher does the second part. See docs/decisions/0004.
PARENT_FIRST = timedelta(seconds=3)
REMEMBER = timedelta(days=1)
SILENT = workers.ALIVE_FOR - timedelta(seconds=CONFIRMED_AFTER_SECONDS)  # from then on a worker is suspected


class Rescue:
    """Rescues only after it has been connected for one whole lease: after an outage every worker may renew first."""

    def __init__(self, connected: ConnectionUptime, steady: Callable[[], float] = clock.steady) -> None:
        self._connected = connected
        self._suspected_leases: Suspicion[tuple[UUID, UUID]] = Suspicion(steady)
        self._suspected_workers: Suspicion[str] = Suspicion(steady)
        self._lease = timedelta(seconds=get_settings().lease_seconds)
        self._look = ScanCursor()
        self._emptied: set[str] = set()  # workers that are gone, and whose leases have been moved on

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many tasks were moved on."""
        if not clock.agrees(in_transaction(server_time)):
            return 0  # PostgreSQL's clock was set: workers renew by it, and must not be judged by ours
        gone, expired = in_transaction(lambda session: self._look_around(session, now))
        if not self._connected.has_lasted(workers.ALIVE_FOR):
            return 0
        moved = self._lost_workers(gone, now)
        if self._connected.has_lasted(self._lease + PARENT_FIRST):
            moved += self._expired_leases(expired, now)
        if moved.count:
            log.warning("rescued", count=moved.count, failed=len(moved.dead))
        publish_dead_letter(*(DeadLetter.of_lost(claim.id, claim.type, claim.attempt) for claim in moved.dead))
        return moved.count

    def _look_around(self, session: Session, now: datetime) -> tuple[set[str], list[UUID]]:
        """Workers that are gone, and tasks whose lease ran out, as far as several looks have shown it.

        A look that has to wait for a lock fails: what it would see in the moment of the release is not how things are.
        """
        only_short_locks(session)
        unseen = workers.unseen(session, silent=now - SILENT, remembered=now - REMEMBER)
        # One who was silent for less may still be there: see `Suspicion`.
        silent = self._suspected_workers.confirmed(list(unseen))
        gone = {worker for worker, has_stopped in unseen.items() if has_stopped or worker in silent}
        since, before = self._look.since(now), now - PARENT_FIRST
        leases = rescue.expired(session, since=since, before=before, lease=self._lease, limit=BATCH)
        if not leases:
            self._look.found_nothing_more(before)
        suspected = rescue.renewable(session, leases) if leases else []
        return gone, [task_id for task_id, _ in self._suspected_leases.confirmed(suspected)]

    def _expired_leases(self, ids: Sequence[UUID], now: datetime) -> Moved:
        def move(session: Session) -> Moved:
            only_short_locks(session)
            return rescue.expired_leases(session, ids, before=now - PARENT_FIRST, now=now, random=random.random)

        return in_transaction(move) if ids else Moved()

    def _lost_workers(self, gone: set[str], now: datetime) -> Moved:
        self._emptied &= gone  # one that was only frozen, or cut off, may be back and take tasks again
        to_empty = gone - self._emptied
        if not to_empty:
            return Moved()

        def move(session: Session) -> Moved:
            only_short_locks(session)
            return rescue.lost_workers(session, to_empty, now=now, limit=BATCH, random=random.random)

        moved = in_transaction(move)
        if moved.count < BATCH:
            self._emptied |= to_empty
        return moved
