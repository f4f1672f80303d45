"""A worker's run of one hint: claim, run, record. A single task is a chunk of one, so there is one code path."""

import logging
import math
import os
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

import msgspec
import structlog
from billiard.common import clear_terminate_handler_fired  # type: ignore[attr-defined]  # its stubs leave it out
from billiard.pool import EX_RECYCLE
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from app import clock, messaging
from app.config import get_settings
from app.database import in_transaction
from app.messaging import DeadLetter
from app.messaging.messages import BACKSTOP_SECONDS, BODY_CHARACTERS
from app.messaging.signing import is_signed
from app.observability.metrics import TASK_RUN_SECONDS
from app.services.lifecycle import Claim
from app.services.measuring import counters
from app.services.recovery.failures import Failure
from app.services.tasks import outcomes
from app.services.tasks.outcomes import (
    Completed,
    Failed,
    GivenBack,
    Outcome,
    Retrying,
    StartedOver,
    Stopped,
    Suspended,
)
from app.worker import attempt, heartbeat, identity
from app.worker.attempt import LeaseGone, run_attempt
from app.worker.claims import claim_hint
from app.worker.durable import context_of
from app.worker.fair_gate import connections
from app.worker.in_progress import HintInProgress, Running
from app.worker.leftovers import LEFTOVERS
from app.worker.outages import RECORD_SECONDS, is_passing, retry_while_unavailable
from taskledger_sdk.errors import TaskCancelled
from taskledger_sdk.registry import TaskType, get_type

log = structlog.get_logger(__name__)
_LOGGER = logging.getLogger(__name__)
_run_seconds = cache(TASK_RUN_SECONDS.labels)

FLUSH_SECONDS = 0.2  # outcomes of a chunk are recorded at least this often
CHUNK_SECONDS = 1.0  # a chunk starts no further task after this long
PARENT_SECONDS = 1.0  # how much later than its child a parent may hear of the same SIGTERM


OUTCOMES: dict[type[Outcome], str] = {
    Completed: "completed",
    Retrying: "retrying",
    Failed: "failed",
    Stopped: "stopped",
    GivenBack: "given_back",
    Suspended: "suspended",
    StartedOver: "started_over",
}


class NoHint(Exception):
    """A message whose arguments are not task ids, or that is not signed where it must be."""


class RecordedFailure(Exception):
    """What Celery and Flower see of a task that is FAILED; the row says more."""


def run_hint(type_name: str, ids: Sequence[UUID], *, hard_limit: float | None = None) -> str:
    """Run those tasks of a hint that are ours to run; returns, or raises, what Celery shall show for it."""
    stopper = heartbeat.STOPPER
    stopper.install()
    LEFTOVERS.remember()
    if stopper.shutting_down:
        raise Reject("the worker is shutting down", requeue=True)
    task_type = get_type(type_name)
    claims = claim_hint(task_type, ids)
    if not claims:
        why = "they were taken, cancelled, are not due, of another release, or of a paused type"
        raise Ignore(f"none of its tasks is for this worker: {why}")
    try:
        ended = _HintWork(task_type, claims, hard_limit=hard_limit).do()
    except BaseException as error:
        if attempt.is_the_pools_exit(error):
            log.info("process_ended", pid=os.getpid(), why="a signal told it to end")
            _end_process()
        _end_spoilt_process()
        raise
    _end_spoilt_process()
    return _shown(claims, ended)


def _end_spoilt_process() -> None:
    """End a child whose handlers left more behind than can be put back: all is recorded, and the pool replaces it."""
    if reason := LEFTOVERS.reason_to_end():
        log.error("process_replaced", pid=os.getpid(), why=reason)
        _end_process()


def _end_process() -> NoReturn:
    clear_terminate_handler_fired()  # else the pool would think that this hint was cut off, and wait for it
    raise SystemExit(EX_RECYCLE)


class _HintWork:
    """The tasks of one hint on their way to their outcomes."""

    def __init__(self, task_type: TaskType, claims: list[Claim], *, hard_limit: float | None) -> None:
        self._type = task_type
        self._hard_limit = hard_limit
        self._claims = claims
        self._is_chunk = len(claims) > 1
        self._run = HintInProgress(claims={held.id: held for held in claims})
        self._unrecorded: list[tuple[Claim, Outcome]] = []
        self._recorded: dict[UUID, Outcome] = {}
        self._flushed = time.monotonic()

    def do(self) -> dict[UUID, Outcome]:
        """Run and record all of them; what is no longer ours is missing from the answer."""
        heartbeat.IN_PROGRESS.begin(self._run)
        try:
            for held in self._claims:
                outcome = self._before(held) or self._attempt(held)
                if outcome is not None:
                    self._unrecorded.append((held, outcome))
                if time.monotonic() - self._flushed > FLUSH_SECONDS:
                    self._flush()
        except SystemExit:
            # The pool ends this process (a cold shutdown, or its hard limit): what has not ended goes back.
            self._give_back_rest()
            raise
        finally:
            try:
                self._flush()
            finally:
                heartbeat.IN_PROGRESS.end()
        return self._recorded

    def _before(self, held: Claim) -> Outcome | None:
        """What happens to a task of a chunk that will not be started, if so."""
        if held.id in self._run.cancelled:
            return Stopped()
        if heartbeat.STOPPER.shutting_down:
            return GivenBack(reason="given back: its turn had not come when its worker shut down")
        if self._hard_limit is not None and self._hard_limit < (held.timeout_seconds or 0):
            # The row's limit was raised after the hint went out; the pool would kill it too early.
            return GivenBack(reason="given back: its hint carried an older time limit")
        if self._is_chunk and self._run.seconds() > CHUNK_SECONDS:
            return GivenBack(reason="given back: the chunk it travelled in took too long")
        return self._too_long_for_solo(held)

    def _too_long_for_solo(self, held: Claim) -> Outcome | None:
        """A task that this worker could not tell its broker of in time: it is refused, whoever else may take it."""
        if not identity.is_solo():
            return None
        broker, seconds = get_settings().broker, self._limit(held) + self._type.grace_seconds
        longest = broker.longest_delivery_seconds
        if broker.early_seconds is None or longest is None or seconds <= longest:
            return None
        message = (
            f"it may take {seconds:g} s, and the pool solo can hold a message of {broker.name} for {longest} s; start "
            "the worker with --pool prefork or --pool threads, then replay the task"
        )
        return Failed(failure=Failure(type="PoolRefused", message=message), reason="its worker's pool cannot run it")

    def _limit(self, held: Claim) -> float:
        if held.timeout_seconds is not None:
            return held.timeout_seconds
        # A dispatcher of another release may have published with another limit of the type: the shorter one holds.
        allowed = (self._hard_limit or math.inf) - self._type.grace_seconds - BACKSTOP_SECONDS
        return max(1.0, min(self._type.timeout_seconds, allowed))

    def _attempt(self, held: Claim) -> Outcome | None:
        if held.id in self._run.lost:
            self._count_lost(held, "attempt_abandoned", why="its lease was lost before it began")
            return None
        running = Running(
            claim=held,
            timeout_seconds=self._limit(held),
            grace_seconds=self._type.grace_seconds,
        )
        context = context_of(self._type, running)
        self._run.current = running
        try:
            with attempt.belonging_to_request(held):
                outcome = run_attempt(self._type, running, context, heartbeat.STOPPER)
            _ended(running, outcome)
            if isinstance(outcome, Stopped) and not isinstance(running.stop_error, TaskCancelled):
                error = RuntimeError("the handler raised TaskCancelled although nobody had asked for it")
                outcome = attempt.after_failure(self._type, held, error)
            outcome = attempt.with_writes(self._type, held, outcome, context.writes)
            return attempt.with_checkpoint(running, outcome)
        except LeaseGone:
            self._count_lost(held, "attempt_abandoned", why="its lease was lost")
            return None
        except SystemExit:
            ended = attempt.with_checkpoint(running, self._after_exit(running))
            self._unrecorded.append((held, ended))
            raise
        finally:
            self._run.current = None
            if self._is_chunk:
                LEFTOVERS.clear_between()
            heartbeat.HEARTBEAT.keep(running)

    def _after_exit(self, running: Running) -> Outcome:
        """What becomes of an attempt that runs while a signal ends its process."""
        if time.monotonic() - running.started >= running.timeout_seconds:
            return attempt.after_hard_limit(self._type, running.claim, running.timeout_seconds)
        if heartbeat.PARENT_STOP.is_announced(wait_seconds=PARENT_SECONDS):
            return attempt.interrupted(self._type, running, "was stopped")
        return attempt.after_foreign_signal(self._type, running.claim)

    def _give_back_rest(self) -> None:
        reason = "given back: its turn had not come when its process ended"
        ended = {held.id for held, _ in self._unrecorded} | set(self._recorded) | self._run.lost
        rest = [held for held in self._claims if held.id not in ended]
        self._unrecorded.extend((held, GivenBack(reason=reason)) for held in rest)

    def _flush(self) -> None:
        LEFTOVERS.clear()  # first, because a handler may have left no descriptor for the record
        batch, self._unrecorded = self._unrecorded, []
        if batch:
            recorded = retry_while_unavailable(
                lambda: _record(batch), seconds=RECORD_SECONDS, when=is_passing, counted_as="record"
            )
            self._recorded.update(recorded)
            for held, outcome in batch:
                self._run.claims.pop(held.id, None)
                if held.id in recorded:
                    _publish_dead_letter(held, recorded[held.id])
                else:
                    self._count_lost(held, "outcome_dropped", outcome=type(outcome).__name__)
        self._flushed = time.monotonic()

    def _count_lost(self, held: Claim, said: str, **fields: str) -> None:
        """An attempt that has no outcome in the ledger: stopped in time or finished too late, it counts once."""
        self._run.lost.add(held.id)
        heartbeat.HEARTBEAT.count(counters.OUTCOMES_DROPPED, 1)
        log.warning(said, task_id=str(held.id), attempt=held.attempt, **fields)


def _ended(running: Running, outcome: Outcome) -> None:
    """Say how an attempt ended: successes only at level DEBUG, because they are many."""
    held, seconds, kind = running.claim, time.monotonic() - running.started, OUTCOMES[type(outcome)]
    _run_seconds(held.type, kind).observe(seconds)
    level = logging.DEBUG if isinstance(outcome, Completed) else logging.INFO
    if not _LOGGER.isEnabledFor(level):  # cheaper than having structlog find out
        return
    log.log(
        level,
        "attempt_ended",
        task_id=str(held.id),
        attempt=held.attempt,
        type=held.type,
        request_id=held.request_id,
        outcome=kind,
        seconds=round(seconds, 3),
    )


def _publish_dead_letter(held: Claim, outcome: Outcome) -> None:
    if isinstance(outcome, Failed):
        messaging.publish_dead_letter(
            DeadLetter.of_failure(
                held.id, held.type, held.attempt, reason=outcome.reason, error_type=outcome.failure.type
            )
        )


def _record(batch: list[tuple[Claim, Outcome]]) -> dict[UUID, Outcome]:
    with connections():
        return in_transaction(
            lambda session: outcomes.record(session, batch, now=clock.utcnow()),
            autocommit=outcomes.takes_one_statement(batch),
        )


def _shown(claims: list[Claim], ended: dict[UUID, Outcome]) -> str:
    """How Celery and Flower show the hint: a retried attempt as RETRY, a failed task as FAILURE."""
    if len(claims) > 1:
        completed = sum(isinstance(outcome, Completed) for outcome in ended.values())
        return f"{completed} of {len(claims)} COMPLETED"
    match ended.get(claims[0].id):
        case Completed():
            return "COMPLETED"
        case Failed(failure=failure):
            raise RecordedFailure(f"{failure.type}: {failure.message}")
        case Retrying(failure=failure, delay=delay):
            cause = RecordedFailure(f"{failure.type}: {failure.message}")
            raise _retried("the ledger dispatches it again", round(delay.total_seconds(), 1), cause)
        case Stopped():
            return "CANCELLED"
        case GivenBack(reason=reason):
            raise _retried(reason, 0)
        case Suspended(waits=waits):
            raise _retried(f"waits for {waits}", 0)
        case StartedOver():
            raise _retried("it begins anew", 0)
    return "dropped: the lease was lost"


def _retried(reason: str, seconds: float, cause: Exception | None = None) -> CeleryRetry:
    when: Any = seconds  # the stubs want a numbers.Real, and no type checker takes a float for one
    return CeleryRetry(reason, exc=cause, when=when)


def parse_ids(ids: Sequence[str]) -> list[UUID]:
    """The ids of a hint. Raises NoHint for anything else."""
    try:
        return msgspec.convert(ids, list[UUID])
    except msgspec.ValidationError as error:
        raise NoHint(f"is no hint of ours: its arguments must be task ids ({error})") from error


def check_signature(type_name: str, ids: Sequence[UUID], given: Any) -> None:
    """Raises NoHint where hints are signed and this one is not, or not by us."""
    settings = get_settings()
    if settings.sign_hints and not any(is_signed(given, type_name, ids, key=key) for key in settings.secret_keys):
        raise NoHint("is no hint of ours: its signature is missing or wrong")


def refuse(type_name: str, ids: Sequence[Any], request_id: str | None, error: NoHint) -> Ignore:
    """Show a message without ids among the dead letters; raise what is returned, and it is not run again."""
    log.error("message_refused", reason=str(error), task_id=request_id, type=type_name)
    shown = {"body": repr(ids)[:BODY_CHARACTERS]}
    messaging.publish_dead_letter(DeadLetter(reason=str(error), task_id=request_id, type=type_name, detail=shown))
    return Ignore(str(error))
