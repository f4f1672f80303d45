"""Running handlers as a worker does: the payload is checked, the handler runs, and what happened is an outcome."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine
from typing import Any

from taskledger_sdk.errors import ShuttingDown, TaskCancelled
from taskledger_sdk.registry import TaskType, get_type, load_types
from taskledger_sdk.results import storable_result
from taskledger_sdk.retry import Retry, decide
from taskledger_sdk.testing.attempt import Attempt
from taskledger_sdk.testing.outcomes import Cancelled, Completed, Failed, GivenBack, Outcome, Retrying

LONGEST = 1_000
"""Attempts of one task, after which a test is told that it never ends."""


def run(
    handler: Callable[..., Any] | str,
    payload: Any,
    task: Attempt | None = None,
    *,
    max_retries: int | None = None,
) -> Outcome:
    """Run one attempt of a task, by its handler or by the name of its type.

    `payload` is what a client sends, as parsed JSON. `task` is a first attempt unless one is given. `max_retries` is
    the task's own number, where it differs from the type's. Pauses are the longest that the policy allows. What an
    attempt submits is gone again if it does not complete, except with `now=True`.
    Raises PayloadRefused for a payload that does not fit, which no attempt would be made for; ValueError for a
    function that is no handler; TypeError for a payload that is not JSON. Whatever the handler raises is an outcome.
    """
    kind = _type_of(handler)
    task = _belonging_to(kind, task or Attempt())
    sent = kind.payload.load(_as_sent(payload))
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
) -> tuple[Outcome, ...]:
    """Run attempts of a task as run() does until there is no other one; the outcome of each, without any waiting.

    `task` goes from attempt to attempt: afterwards it is the last one, with all that was reported and kept.
    """
    task = task or Attempt()
    outcomes: list[Outcome] = []
    while len(outcomes) < LONGEST:
        outcome = run(handler, payload, task, max_retries=max_retries)
        outcomes.append(outcome)
        if not isinstance(outcome, Retrying | GivenBack):
            return tuple(outcomes)
        task.begin_next(is_counted=isinstance(outcome, Retrying))
    raise AssertionError(f"the task has not ended after {LONGEST} attempts; the last one: {outcomes[-1]}")


def _type_of(handler: Callable[..., Any] | str) -> TaskType:
    if isinstance(handler, str):
        return get_type(handler)
    for kind in load_types().values():
        if kind.handler is handler:
            return kind
    name = getattr(handler, "__name__", repr(handler))
    raise ValueError(f"{name} is no handler of a task type: put @task_type(…) above it, or give the name of a type")


def _belonging_to(kind: TaskType, task: Attempt) -> Attempt:
    """The attempt with the name, the limit and the settings of the type: others it does not see in a worker either."""
    task.type = kind.name
    task.type_seconds = kind.timeout_seconds
    task.settings = {name: value for name, value in task.settings.items() if name in kind.settings}
    return task


def _as_sent(payload: Any) -> Any:
    try:
        return json.loads(json.dumps(payload))
    except TypeError as error:
        raise TypeError(f"the payload is not what a client can send: {error}; give parsed JSON") from None


def _outcome(kind: TaskType, task: Attempt, payload: Any, max_retries: int) -> Outcome:
    try:
        result = storable_result(_returned(kind.handler, task, payload))
        return Completed(json.loads(json.dumps(result)))
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
    returned = handler(task, payload)
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
