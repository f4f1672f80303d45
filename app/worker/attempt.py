"""One attempt: the payload is checked, the handler runs, and what happened becomes an outcome."""

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # its stubs leave it out

from app.config import get_settings
from app.database import Unreadable
from app.errors import TaskledgerError
from app.observability import log, tracing
from app.observability.scrubbing import scrub
from app.services import lifecycle
from app.services.encryption import sealing
from app.services.lifecycle import Claim
from app.services.recovery.failures import Failure, of_exception, of_sensitive
from app.services.tasks.outcomes import Completed, Failed, GivenBack, Outcome, Retrying, Stopped, Write
from app.worker.coroutines import run_to_end
from app.worker.in_progress import Running
from app.worker.lifespans import LIFESPANS
from app.worker.stopping import Stopper
from taskledger_sdk.context import TaskContext
from taskledger_sdk.errors import PermanentError, ShuttingDown, TaskCancelled
from taskledger_sdk.registry import TaskType
from taskledger_sdk.results import storable_result
from taskledger_sdk.retry import Retry, decide
from tasks import correlation


@contextmanager
def belonging_to_request(held: Claim) -> Iterator[None]:
    """What the handler logs and calls in this block says which task it is for, and which request asked for that."""
    # A hint of its own has brought the span in which it was published; it is of the row's trace, or it is ignored.
    above = correlation.traceparent()
    parent = above if correlation.is_same_trace(above, held.traceparent) else held.traceparent
    with (
        correlation.belonging_to(held.request_id, parent),
        tracing.span(tracing.ATTEMPT, parent=parent, task_id=held.id, type=held.type, attempt=held.attempt),
        log.about(lambda: _said_of(held)),
    ):
        yield


def _said_of(held: Claim) -> dict[str, Any]:
    said = {"task_id": str(held.id), "attempt": held.attempt, "type": held.type}
    return said if held.request_id is None else {**said, "request_id": held.request_id}


class LeaseGone(BaseException):
    """Raised in a handler whose task is no longer its own: whatever it does from here on counts for nothing."""


def run_attempt(task_type: TaskType, running: Running, context: TaskContext, stopper: Stopper) -> Outcome:
    """Run the handler once. Only LeaseGone and the SystemExit of a signal that ends this process leave it."""
    held = running.claim
    try:
        payload = task_type.payload.load(_opened(task_type, held))
        with stopper.armed():
            LIFESPANS.ensure(task_type.handler.__module__)
            result = task_type.handler(context, payload)
        if inspect.iscoroutine(result):
            result = run_to_end(result, running)
        return Completed(result=_kept(task_type, held, storable_result(result)))
    except TaskCancelled:
        return Stopped()
    except ShuttingDown:
        return interrupted(task_type, held, "is shutting down")
    except LeaseGone:
        raise
    except BaseException as error:
        if is_the_pools_exit(error):
            raise
        return after_failure(task_type, held, error)


def is_the_pools_exit(error: BaseException) -> bool:
    """Whether a signal ends this process; a handler's own sys.exit(), with any code, is a failure like any other."""
    return isinstance(error, SystemExit) and terminate_handler_fired()


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


def interrupted(task_type: TaskType, held: Claim, why: str) -> GivenBack:
    """The worker ended the attempt for reasons of its own: it is not counted, unless that happens again and again."""
    reason = f"{lifecycle.INTERRUPTED} {why}"
    return GivenBack(reason=reason, instead=_lost(task_type, held, lifecycle.TOO_MANY_INTERRUPTIONS))


def after_foreign_signal(task_type: TaskType, held: Claim) -> Outcome:
    """A signal ended the process, and the worker had not sent it: the handler did, or somebody on the machine."""
    return _lost(task_type, held, "its process was ended by a signal that its worker had not sent")


def _lost(task_type: TaskType, held: Claim, message: str) -> Outcome:
    failure = Failure(type="WorkerLost", message=message)
    return decided(task_type, held, RuntimeError(message), failure)


def decided(task_type: TaskType, held: Claim, error: BaseException, failure: Failure) -> Outcome:
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


def _opened(task_type: TaskType, held: Claim) -> Any:
    if isinstance(held.payload, Unreadable):
        raise PermanentError(f"its payload cannot be read: {held.payload['$unreadable']}")
    if not task_type.sensitive:
        return held.payload
    # Its CannotOpen is not permanent: the next attempt may meet a worker that has the key.
    return sealing.opened(held.payload, held.id, "payload", keys=sealing.keys(get_settings().payload_keys))


def _kept(task_type: TaskType, held: Claim, result: Any) -> Any:
    if not task_type.sensitive:
        return result
    return sealing.sealed(result, held.id, "result", keys=sealing.keys(get_settings().payload_keys))
