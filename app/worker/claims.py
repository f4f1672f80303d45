"""Claiming the tasks of a hint: the leases under which this process may run them."""

import itertools
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog
from celery.exceptions import Reject

from app import clock
from app.config import get_settings
from app.database import in_transaction, transaction
from app.observability.metrics import TASK_WAIT_SECONDS
from app.services import lifecycle
from app.services.lifecycle import Claim, Holder
from app.services.measuring import counters
from app.worker import heartbeat, identity
from app.worker.fair_gate import connections
from app.worker.outages import CLAIM_SECONDS, DatabaseAway, retry_while_unavailable
from taskledger_sdk.registry import TaskType

log = structlog.get_logger(__name__)

REQUEUE_PAUSE_SECONDS = 1.0


def claim_hint(task_type: TaskType, ids: Sequence[UUID]) -> list[Claim]:
    """Those of a hint's tasks that are ours to run; the others are accounted for.

    Raises Reject where the database stays away: the hint goes back to its queue.
    """
    claims = _claim(task_type, ids)
    if len(claims) < len(ids):
        _account_for_rest(ids, claims)
    return claims


def _claim(task_type: TaskType, ids: Sequence[UUID]) -> list[Claim]:
    holder = Holder(worker=identity.worker_id(), pid=identity.pid())
    lease_seconds = task_type.lease_seconds or get_settings().lease_seconds
    lease = uuid4()  # one for all tries: an answer that got lost on its way is read again under it

    tries = itertools.count()

    def work() -> list[Claim]:
        with connections(), transaction(autocommit=True) as session:
            before = lifecycle.held_under(session, lease, ids, lease_seconds=lease_seconds) if next(tries) else []
            return before + lifecycle.claim(
                session,
                task_type.name,
                ids,
                lease=lease,
                holder=holder,
                lease_seconds=lease_seconds,
                now=clock.utcnow(),
            )

    try:
        claims = retry_while_unavailable(work, seconds=CLAIM_SECONDS, counted_as="claim")
    except DatabaseAway as error:
        time.sleep(REQUEUE_PAUSE_SECONDS)
        raise Reject(f"the database is away: {error}", requeue=True) from error
    heartbeat.HEARTBEAT.note_claims(claims)
    _count_waits(task_type.name, claims)
    return claims


def _count_waits(type_name: str, claims: list[Claim]) -> None:
    now, waits = clock.utcnow(), TASK_WAIT_SECONDS.labels(type_name)
    for held in claims:
        if held.waiting_since is not None:
            waits.observe(max(0.0, (now - held.waiting_since).total_seconds()))


def _account_for_rest(ids: Sequence[UUID], claims: list[Claim]) -> None:
    """Of the tasks that could not be claimed: hold those whose type is paused, count the others as duplicates."""
    rest = set(ids) - {held.id for held in claims}
    try:
        held_back = in_transaction(lambda session: lifecycle.hold_paused(session, sorted(rest)))
    except sa.exc.SQLAlchemyError as error:
        # What was claimed must run; the others are found by the dispatcher, which publishes their hints again.
        log.warning("rest_not_accounted_for", count=len(rest), error=type(error).__name__)
        return
    heartbeat.HEARTBEAT.count(counters.DUPLICATES_SUPPRESSED, len(rest - held_back))
