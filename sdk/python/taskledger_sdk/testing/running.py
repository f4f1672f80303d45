"""Running handlers as a worker does: the payload is checked, the handler runs, and what happened is an outcome."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine
from typing import Any

from taskledger_sdk.durable.surface import AsyncSurface
from taskledger_sdk.errors import PermanentError, ShuttingDown, StartOver, Suspended, TaskCancelled
from taskledger_sdk.registry import TaskType, get_type, load_types
from taskledger_sdk.results import storable_result
from taskledger_sdk.retry import Retry, decide
from taskledger_sdk.testing.attempt import Attempt
from taskledger_sdk.testing.durable import DurableAttempt
from taskledger_sdk.testing.outcomes import (
    Cancelled,
    Completed,
    Failed,
    GivenBack,
    Outcome,
    Retrying,
    StartedOver,
    Waiting,
)

LONGEST = 1_000
"""Attempts of one task, after which a test is told that it never ends."""


def run(
    handler: Callable[..., Any] | str,
    payload: Any,
    task: Attempt | None = None,
    *,
    max_retries: int | None = None,
    accepted_under: str | None = None,
) -> Outcome:
    """Run one attempt of a task, by its handler or by the name of its type.

    `payload` is what a client sends, as parsed JSON. `task` is a first attempt unless one is given. `max_retries` is
    the task's own number, where it differs from the type's. Pauses are the longest that the policy allows. What an
    attempt submits is gone again if it does not complete, except with `now=True`. `accepted_under`: the payload is one
    that an earlier release accepted, under the schema with this hash, and is upgraded as the type says.
    Raises PayloadRefused for a payload that does not fit, which no attempt would be made for, or UpgradeFailed;
    ValueError for a function that is no handler; TypeError for a payload that is not JSON. Whatever the handler raises
    is an outcome.
    """
    kind = type_of(handler)
    task = _belonging_to(kind, task or (DurableAttempt() if kind.durable else Attempt()))
    sent = kind.load(as_sent(payload), accepted_under)
    outcome = _outcome(kind, task, sent, kind.retry.max_retries if max_retries is None else max_retries)
    if not isinstance(outcome, Completed):
        task.submitted[:] = [each for each in task.submitted if each.now]
    return outcome


def run_until_done(
    handler: Callable[..., Any] | str,
    payload: Any,
    task: Attempt | None = None,
    *,
    max_retries: int | None = None,
    accepted_under: str | None = None,
) -> tuple[Outcome, ...]:
    """Run attempts of a task as run() does until there is no other one; the outcome of each, without any waiting.

    The clock of a durable handler's DurableAttempt jumps to the moment, or the signal, that it waits for.

    `task` goes from attempt to attempt: afterwards it is the last one, with all that was reported and kept.
    """
    task = task or (DurableAttempt() if type_of(handler).durable else Attempt())
    outcomes: list[Outcome] = []
    while len(outcomes) < LONGEST:
        outcome = run(handler, payload, task, max_retries=max_retries, accepted_under=accepted_under)
        outcomes.append(outcome)
        if isinstance(outcome, StartedOver):
            payload, accepted_under = outcome.payload, None
        if isinstance(task, DurableAttempt) and isinstance(outcome, Waiting | StartedOver):
            _end_well(task, outcome)
            continue
        if not isinstance(outcome, Retrying | GivenBack):
            return tuple(outcomes)
        task.begin_next(is_counted=isinstance(outcome, Retrying))
    raise AssertionError(f"the task has not ended after {LONGEST} attempts; the last one: {outcomes[-1]}")


def type_of(handler: Callable[..., Any] | str) -> TaskType:
    """The task type of a handler, or of a name. Raises ValueError or UnknownTaskType."""
    if isinstance(handler, str):
        return get_type(handler)
    for kind in load_types().values():
        if kind.handler is handler:
            return kind
    name = getattr(handler, "__name__", repr(handler))
    raise ValueError(f"{name} is no handler of a task type: put @task_type(…) above it, or give the name of a type")


def _end_well(task: DurableAttempt, outcome: Waiting | StartedOver) -> None:
    """Let come what a durable handler waits for, or forget its steps; the next attempt has a fresh budget."""
    if isinstance(outcome, Waiting):
        task.jump(outcome.wait)
    else:
        task.forget()
    task.given_back = task.attempt
    task.begin_next(is_counted=True)


def _belonging_to(kind: TaskType, task: Attempt) -> Attempt:
    """The attempt with the name, the limit and the settings of the type: others it does not see in a worker either."""
    if kind.durable and not isinstance(task, DurableAttempt):
        raise TypeError(f"{kind.name} is durable: give its handler a testing.DurableAttempt")
    task.type = kind.name
    task.type_seconds = kind.timeout_seconds
    task.settings = {name: value for name, value in task.settings.items() if name in kind.settings}
    return task


def as_sent(payload: Any) -> Any:
    """The payload as it is stored. Raises TypeError for what is no JSON."""
    try:
        return json.loads(json.dumps(payload))
    except TypeError as error:
        raise TypeError(f"the payload is not what a client can send: {error}; give parsed JSON") from None


def _outcome(kind: TaskType, task: Attempt, payload: Any, max_retries: int) -> Outcome:
    if isinstance(task, DurableAttempt):
        task.begin_run()
    try:
        result = storable_result(_returned(kind.handler, task, payload))
        if isinstance(task, DurableAttempt) and task.durable.ending is not None:
            raise PermanentError("the handler caught the suspension of its task, which must end it")
        return Completed(json.loads(json.dumps(result)))
    except Suspended as ending:
        return Waiting(ending.wait)
    except StartOver as ending:
        return StartedOver(ending.payload)
    except (TaskCancelled, ShuttingDown) as error:
        if isinstance(error, TaskCancelled) and task.stopped is TaskCancelled:
            return Cancelled()
        if isinstance(error, ShuttingDown) and task.stopped is ShuttingDown:
            return GivenBack()
        unasked = RuntimeError(f"the handler raised {type(error).__name__} although nobody had asked for it")
        return _after_failure(kind, task, unasked, max_retries)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a handler may raise anything; all of it is told)
        return _after_failure(kind, task, error, max_retries)


def _returned(handler: Callable[..., Any], task: Attempt, payload: Any) -> Any:
    is_awaited = inspect.iscoroutinefunction(handler)
    returned = handler(AsyncSurface(task) if isinstance(task, DurableAttempt) and is_awaited else task, payload)
    if not inspect.iscoroutine(returned):
        return returned
    try:
        return asyncio.run(_run_to_end(returned, task))
    except asyncio.CancelledError as error:
        if task.stopped is not None:
            raise task.stopped from error
        raise RuntimeError("the handler's coroutine was cancelled, and nobody had asked it to stop") from error
    finally:
        task.coroutine = None


async def _run_to_end(coroutine: Coroutine[Any, Any, Any], task: Attempt) -> Any:
    task.coroutine = asyncio.current_task()
    return await coroutine


def _after_failure(kind: TaskType, task: Attempt, error: BaseException, max_retries: int) -> Outcome:
    decision = decide(
        kind.retry, error=error, retries_used=task.retries_used, max_retries=max_retries, random=lambda: 1.0
    )
    if isinstance(decision, Retry):
        return Retrying(decision.delay.total_seconds(), error)
    return Failed(decision.reason, error)
