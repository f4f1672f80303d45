"""One attempt: the payload is checked, the handler runs, and what happened becomes an outcome."""

import inspect
import random
from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import UUID

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # its stubs leave it out

from app.database import Unreadable, to_json
from app.errors import Refused, TaskledgerError, flatten
from app.observability import log, tracing
from app.observability.scrubbing import scrub
from app.services import lifecycle
from app.services.encryption import ciphertexts
from app.services.lifecycle import Claim, Waits
from app.services.recovery.failures import Failure, of_exception, of_sensitive
from app.services.remote import schemas
from app.services.tasks.outcomes import Completed, Failed, GivenBack, Outcome, Retrying, StartedOver, Stopped, Write
from app.services.tasks.outcomes import Suspended as WaitsNow
from app.worker.coroutines import run_to_end
from app.worker.in_progress import Running
from app.worker.lifespans import LIFESPANS
from app.worker.payload_keys import payload_keys
from app.worker.stopping import Stopper
from taskledger_sdk.context import TaskContext
from taskledger_sdk.durable.running import DurableRun
from taskledger_sdk.durable.surface import AsyncSurface, DurableMethods
from taskledger_sdk.durable.values import Wait
from taskledger_sdk.errors import LeaseLost, PermanentError, ShuttingDown, StartOver, Suspended, TaskCancelled
from taskledger_sdk.registry import TaskType
from taskledger_sdk.results import storable_result
from taskledger_sdk.retry import Retry, decide
from tasks import correlation


class belonging_to_request:  # noqa: N801 (for a with statement; a generator takes three times as long)
    """What the handler logs and calls in this block says which task it is for, and which request asked for that."""

    __slots__ = ("_about", "_request", "_span")

    def __init__(self, held: Claim) -> None:
        # A hint of its own has brought the span in which it was published; it is of the row's trace, or it is ignored.
        parent = correlation.below(held.traceparent)
        self._request = correlation.belonging_to(held.request_id, parent)
        self._span = tracing.span(tracing.ATTEMPT, parent=parent, task_id=held.id, type=held.type, attempt=held.attempt)
        self._about = log.about(partial(_said_of, held))

    def __enter__(self) -> None:
        self._request.__enter__()
        self._span.__enter__()
        self._about.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._about.__exit__(*error)
        self._span.__exit__(*error)
        self._request.__exit__(*error)


def _said_of(held: Claim) -> dict[str, Any]:
    said = {"task_id": str(held.id), "attempt": held.attempt, "type": held.type}
    return said if held.request_id is None else {**said, "request_id": held.request_id}


SWALLOWED = "the handler caught the suspension of its task, which must end it"


class LeaseGone(LeaseLost):
    """Raised in a handler whose task is no longer its own: whatever it does from here on counts for nothing."""


def run_attempt(task_type: TaskType, running: Running, context: TaskContext, stopper: Stopper) -> Outcome:
    """Run the handler once. Only LeaseGone and the SystemExit of a signal that ends this process leave it."""
    held = running.claim
    durable: DurableRun | None = getattr(context, "durable", None)
    try:
        payload = task_type.load(decrypted(task_type, held.id, held.payload), held.schema_hash)
        with stopper.armed():
            LIFESPANS.ensure(task_type.handler.__module__)
            result = task_type.handler(_given(task_type, context, durable), payload)
        if inspect.iscoroutine(result):
            result = run_to_end(result, running)
        if durable is not None and durable.ending is not None:
            raise PermanentError(f"{SWALLOWED}: {durable.ending}")
        return Completed(result=_kept(task_type, held, storable_result(result)))
    except (Suspended, StartOver) as ending:
        if durable is None or ending is not durable.ending:
            error = RuntimeError(f"the handler raised {type(ending).__name__} although it waits for nothing")
            return after_failure(task_type, held, error)
        return _left(task_type, held, ending)
    except TaskCancelled:
        return Stopped()
    except ShuttingDown:
        return interrupted(task_type, running, "is shutting down")
    except LeaseGone:
        raise
    except BaseException as error:
        if is_the_pools_exit(error):
            raise
        return after_failure(task_type, held, error)


def _given(task_type: TaskType, context: TaskContext, durable: DurableRun | None) -> Any:
    """What the handler is given: coroutines of durable types await what asks the ledger."""
    if durable is None or not inspect.iscoroutinefunction(task_type.handler):
        return context
    return AsyncSurface(cast("DurableMethods", context))


def _left(task_type: TaskType, held: Claim, ending: Suspended | StartOver) -> Outcome:
    """A durable handler was left: it waits, or begins anew with another payload."""
    if isinstance(ending, Suspended):
        try:
            _check_schema(ending.wait)
        except PermanentError as error:
            return after_failure(task_type, held, error)
        # Signals to the run that the task belongs to are for it, too.
        target = None if ending.wait.signal is None else held.run_id
        return WaitsNow(waits=Waits(**vars(ending.wait), target=target))
    try:
        task_type.load(ending.payload)
    except PermanentError as error:
        return after_failure(task_type, held, error)
    payload = ending.payload
    if task_type.sensitive:
        payload = ciphertexts.encrypted(payload, held.id, "payload", keys=payload_keys())
    message = "task.start_over() while children of the task are under way: wait for their results first"
    failure = Failure(type="PermanentError", message=message)
    otherwise = Failed(failure=failure, reason="its error is permanent")
    return StartedOver(payload=to_json(payload), schema_hash=task_type.schema_hash, otherwise=otherwise)


def _check_schema(wait: Wait) -> None:
    """Raises PermanentError for a JSON Schema that no signal could be held against: nobody could end the wait."""
    if wait.schema is None:
        return
    try:
        schemas.check(wait.schema)
    except Refused as error:
        why = "; ".join(message for _, message in flatten(error.errors))
        raise PermanentError(f"task.wait_for({wait.signal!r}): its schema {why}") from None


def is_the_pools_exit(error: BaseException) -> bool:
    """Whether a signal ends this process; a handler's own sys.exit(), with any code, is a failure like any other."""
    return isinstance(error, SystemExit) and terminate_handler_fired()


def with_checkpoint(running: Running, outcome: Outcome) -> Outcome:
    """The outcome together with what its attempt has kept last, where that is not written yet."""
    text = running.checkpoint.text
    if text is None or not isinstance(outcome, Retrying | Failed | Stopped | GivenBack | WaitsNow):
        return outcome
    return replace(outcome, checkpoint=text)


def with_writes(task_type: TaskType, held: Claim, outcome: Outcome, writes: tuple[Write, ...]) -> Outcome:
    """A completion together with what its ports shall write; if they refuse, the attempt ends as if it had raised."""
    if not writes or not isinstance(outcome, Completed):
        return outcome
    return replace(outcome, writes=writes, otherwise=lambda error: after_failure(task_type, held, error))


def after_failure(task_type: TaskType, held: Claim, error: BaseException) -> Outcome:
    """Retry or give up, as the type's policy and the task's own budget say."""
    # Our own errors (a missing key) say nothing of the payload; a handler's may quote it.
    is_telling = task_type.sensitive and not isinstance(error, TaskledgerError)
    failure = of_sensitive(error) if is_telling else of_exception(error, scrub=scrub)
    return decided(task_type, held, error, failure)


def after_hard_limit(task_type: TaskType, held: Claim, seconds: float) -> Outcome:
    """The attempt did not end within its limit and grace, and its process is being ended."""
    failure = Failure(type="TimeLimitExceeded", message=f"still running after its limit of {seconds:g} s; ended")
    return decided(task_type, held, TimeoutError(failure.message), failure)


def interrupted(task_type: TaskType, running: Running, why: str) -> GivenBack:
    """The worker ended the attempt for reasons of its own: it is not counted, unless that happens again and again.

    With a checkpoint the task is further than before, however often its workers are replaced.
    """
    if running.checkpoint.was_kept:
        return GivenBack(reason=f"given back with its checkpoint: its worker {why}")
    reason = f"{lifecycle.INTERRUPTED} {why}"
    return GivenBack(reason=reason, instead=_lost(task_type, running.claim, lifecycle.TOO_MANY_INTERRUPTIONS))


def after_foreign_signal(task_type: TaskType, held: Claim) -> Retrying | Failed:
    """A signal ended the process, and the worker had not sent it: the handler did, or somebody on the machine."""
    return _lost(task_type, held, "its process was ended by a signal that its worker had not sent")


def _lost(task_type: TaskType, held: Claim, message: str) -> Retrying | Failed:
    failure = Failure(type="WorkerLost", message=message)
    return decided(task_type, held, RuntimeError(message), failure)


def decided(task_type: TaskType, held: Claim, error: BaseException, failure: Failure) -> Retrying | Failed:
    """The outcome that the retry policy draws from an error."""
    decision = decide(
        task_type.retry,
        error=error,
        retries_used=held.retries_used,
        max_retries=held.max_retries,
        random=random.random,
    )
    if isinstance(decision, Retry):
        return Retrying(failure=failure, delay=decision.delay)
    return Failed(failure=failure, reason=decision.reason)


def decrypted(task_type: TaskType, task_id: UUID, payload: Any) -> Any:
    """A payload as its row has it, in the clear. Raises PermanentError, or CannotDecrypt."""
    if isinstance(payload, Unreadable):
        raise PermanentError(f"its payload cannot be read: {payload['$unreadable']}")
    if not task_type.sensitive:
        return payload
    # Its CannotDecrypt is not permanent: the next attempt may meet a worker that has the key.
    return ciphertexts.decrypted(payload, task_id, "payload", keys=payload_keys())


def _kept(task_type: TaskType, held: Claim, result: Any) -> Any:
    if not task_type.sensitive:
        return result
    return ciphertexts.encrypted(result, held.id, "result", keys=payload_keys())
