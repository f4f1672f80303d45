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
from app.errors import TaskledgerError
from app.observability.metrics import TASK_WAIT_SECONDS
from app.services import lifecycle
from app.services.lifecycle import Claim, Holder
from app.services.lifecycle.schema_holds import OtherPayload
from app.services.measuring import counters
from app.worker import attempt, heartbeat, identity
from app.worker.fair_gate import connections
from app.worker.outages import CLAIM_SECONDS, DatabaseAway, retry_while_unavailable
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.registry import TaskType

log = structlog.get_logger(__name__)

REQUEUE_PAUSE_SECONDS = 1.0


def claim_hint(task_type: TaskType, ids: Sequence[UUID]) -> list[Claim]:
    """Those of a hint's tasks that are ours to run; the others are accounted for.

    Raises Reject where the database stays away: the hint goes back to its queue.
    """
    claims = _claim(task_type, ids, task_type.understood)
    if len(claims) < len(ids):
        claims += _account_for_rest(task_type, ids, claims)
    return claims


def _claim(task_type: TaskType, ids: Sequence[UUID], schemas: Sequence[str]) -> list[Claim]:
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
                schemas=schemas,
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


def _account_for_rest(task_type: TaskType, ids: Sequence[UUID], claims: list[Claim]) -> list[Claim]:
    """Of the tasks that could not be claimed: hold those whose type is paused, count the others as duplicates.

    Those whose payload another release has accepted are looked at: what this type takes is claimed after all.
    """
    rest = set(ids) - {held.id for held in claims}
    try:
        held_back = in_transaction(lambda session: lifecycle.hold_paused(session, sorted(rest)))
        more, others = _of_other_schemas(task_type, rest - held_back)
    except (sa.exc.SQLAlchemyError, Reject) as error:
        # What was claimed must run; the others are found by the dispatcher, which publishes their hints again.
        log.warning("rest_not_accounted_for", count=len(rest), error=type(error).__name__)
        return []
    heartbeat.HEARTBEAT.count(counters.DUPLICATES_SUPPRESSED, len(rest - held_back - others) - len(more))
    return more


def _of_other_schemas(task_type: TaskType, ids: set[UUID]) -> tuple[list[Claim], set[UUID]]:
    """Of these tasks, those that another release has accepted: what this type takes, claimed, and what was held.

    Their payloads are checked before they are claimed, so that what this worker does not take has no attempt.
    """
    schemas = task_type.understood
    found = in_transaction(lambda session: lifecycle.of_other_schemas(session, task_type.name, ids, schemas=schemas))
    if not found:
        return [], set()
    refused = {each.id for each in found if not _takes(task_type, each)}
    taken = [each for each in found if each.id not in refused]
    held = in_transaction(
        lambda session: lifecycle.hold_for_schema(session, refused, schema=task_type.schema_hash, now=clock.utcnow())
    )
    if held:
        log.info("payloads_of_another_release", type=task_type.name, count=len(held))
    if not taken:
        return [], held
    also = sorted({each.schema_hash for each in taken})
    return _claim(task_type, [each.id for each in taken], [*schemas, *also]), held


def _takes(task_type: TaskType, other: OtherPayload) -> bool:
    """Whether the type takes the payload as it is. What cannot be read is claimed, so that its attempt tells why."""
    try:
        payload = attempt.decrypted(task_type, other.id, other.payload)
    except (PermanentError, TaskledgerError):
        return True
    return not task_type.payload.faults(payload)
