"""taskledger_sdk.testing tells what a worker does: the same handlers come to the same outcomes in both."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from app.models import new_id
from app.services.lifecycle import Claim
from app.services.tasks import outcomes
from app.worker import attempt
from app.worker.in_progress import Running
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk import (
    PermanentError,
    RetryLater,
    RetryPolicy,
    ShuttingDown,
    TaskCancelled,
    TimeLimitReached,
    registry,
    testing,
)
from taskledger_sdk.errors import AskedToWait, NoRoom
from taskledger_sdk.registry import TaskType, get_type, load_types
from tests.support.factories import NOON

POLICY = RetryPolicy(max_retries=2, base_seconds=10, factor=3, jitter=0)


def raising(error: BaseException) -> Callable[..., Any]:
    def handler(_task: Any, _payload: Any) -> None:
        raise error

    return handler


async def coroutine(_task: Any, payload: str) -> str:
    await asyncio.sleep(0)
    return payload


async def failing(_task: Any, _payload: Any) -> None:
    raise LookupError("no")


async def leaving(_task: Any, _payload: Any) -> None:
    raise SystemExit(1)


HANDLERS: dict[str, Callable[..., Any]] = {
    "a result": lambda _task, payload: payload,
    "a set": lambda *_: {1, 2},
    "NaN": lambda *_: float("nan"),
    "NUL": lambda *_: "a\x00b",
    "half a pair": lambda *_: "\ud800",
    "a large result": lambda *_: "x" * (1024 * 1024 - 1),
    "an error": raising(LookupError("no")),
    "exit": raising(SystemExit(1)),
    "a permanent error": raising(PermanentError("no")),
    "retry later": raising(RetryLater(5)),
    "asked to wait": raising(AskedToWait(5)),
    "asked to wait for long": raising(AskedToWait(500)),
    "no room": raising(NoRoom("no")),
    "a time limit": raising(TimeLimitReached()),
    "a coroutine": coroutine,
    "a coroutine that fails": failing,
    "a coroutine that exits": leaving,
}


@pytest.fixture
def kind(monkeypatch) -> Callable[[Callable[..., Any]], TaskType]:
    """A type of the handler, known to this test only."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    def made(handler: Callable[..., Any]) -> TaskType:
        kind = replace(get_type("reverse_string"), name="like_the_worker", handler=handler, retry=POLICY)
        registry.register(kind)
        return kind

    return made


def by_the_worker(kind: TaskType, *, number: int, context: testing.Attempt) -> outcomes.Outcome:
    claim = Claim(
        id=new_id(),
        type=kind.name,
        payload="hello",
        attempt=number,
        retries_used=number - 1,
        max_retries=POLICY.max_retries,
        timeout_seconds=None,
        priority="normal",
        queue="tasks",
        dispatched_at=NOON,
        lease=uuid4(),
        lease_seconds=60,
    )
    running = Running(claim=claim, timeout_seconds=300, grace_seconds=10)
    return attempt.run_attempt(kind, running, context, Stopper(ParentStop()))


def said(outcome: outcomes.Outcome | testing.Outcome) -> tuple[Any, ...]:
    """Both kinds of outcomes in the same words."""
    match outcome:
        case outcomes.Completed(result=result) | testing.Completed(result):
            return ("completed", result)
        case outcomes.Retrying(failure=failure, delay=delay):
            return ("retrying", delay.total_seconds(), failure.type)
        case testing.Retrying(seconds, error):
            return ("retrying", seconds, type(error).__name__)
        case outcomes.Failed(failure=failure, reason=reason):
            return ("failed", reason, failure.type)
        case testing.Failed(reason, error):
            return ("failed", reason, type(error).__name__)
        case outcomes.Stopped() | testing.Cancelled():
            return ("cancelled",)
        case outcomes.GivenBack() | testing.GivenBack():
            return ("given back",)
    raise AssertionError(f"an outcome that is unknown here: {outcome}")


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("what", HANDLERS)
def test_both_come_to_the_same_outcome(kind, what, number):
    made = kind(HANDLERS[what])

    expected = by_the_worker(made, number=number, context=testing.Attempt())
    outcome = testing.run("like_the_worker", "hello", testing.Attempt(attempt=number))

    assert said(outcome) == said(expected)


@pytest.mark.parametrize("why", [TaskCancelled, ShuttingDown, TimeLimitReached])
def test_both_come_to_the_same_outcome_when_the_handler_is_stopped(kind, why):
    made = kind(lambda task, _payload: task.progress(0.5))
    theirs, ours = testing.Attempt(), testing.Attempt()
    for each in (theirs, ours):
        each.stop(why, at_progress=0.5)

    expected = by_the_worker(made, number=1, context=theirs)
    outcome = testing.run("like_the_worker", "hello", ours)

    assert said(outcome) == said(expected)
