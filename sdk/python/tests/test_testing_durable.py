"""Durable handlers in unit tests: the clock jumps to what they wait for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskledger_sdk import AsyncDurableTask, DurableTask, PermanentError, RetryLater, child, task_type, testing
from taskledger_sdk.testing.durable import BEGINNING

DONE: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done():
    DONE.clear()


def do(what: str) -> dict[str, str]:
    DONE.append(what)
    return {"id": what}


def onboard(task: DurableTask, payload: str) -> Any:
    """Open, wait for a person, print, wait for a day."""
    account = task.once("open", do, payload, undo=("tests.close", {"id": {"$from": "result.id"}}))
    decision = task.wait_for("approved", timeout=timedelta(days=7), default="nobody")
    task.sleep(timedelta(days=1))
    letters = task.gather([child("tests.print", page) for page in (1, 2)], max_parallel=1)
    return [account["id"], decision, letters, task.call("tests.print", 3).result()]


async def onboard_async(task: AsyncDurableTask, payload: str) -> Any:
    """The same for a coroutine."""

    async def open_account() -> dict[str, str]:
        return do(payload)

    account = await task.once("open", open_account)
    await task.sleep(timedelta(days=1))
    call = await task.call("tests.print", 3)
    return [account["id"], await task.wait_for("approved", timeout=60, default="nobody"), await call.result()]


def counter(task: DurableTask, payload: int) -> int:
    """Count up, each time anew."""
    task.once("count", do, str(payload))
    if payload < 3:
        task.start_over(payload + 1)
    return payload


def swallow(task: DurableTask, payload: int) -> str:
    """Do what no handler should."""
    try:
        task.sleep(5)
    except BaseException:
        return "done"
    return "slept"


def flaky(task: DurableTask, payload: int) -> str:
    """Fail twice before the wait and twice behind it."""
    if task.attempt in (1, 2, 4, 5):
        raise RetryLater(1)
    task.sleep(5)
    return "slept"


def hoard(task: DurableTask, payload: int) -> None:
    """Remember a hundred kilobytes so often."""
    for _ in range(payload):
        task.once("page", lambda: "x" * 100_000)


HANDLERS = {
    "tests.hoard": hoard,
    "tests.onboard": onboard,
    "tests.onboard.async": onboard_async,
    "tests.counter": counter,
    "tests.swallow": swallow,
    "tests.flaky": flaky,
}


@pytest.fixture(autouse=True)
def declared():
    """Their task types, for one test: those of a module would be everybody's."""
    for name, handler in HANDLERS.items():
        task_type(name, durable=True)(handler)


def test_the_clock_jumps_to_what_is_waited_for():
    task = testing.DurableAttempt()
    task.answer("tests.print", lambda page: page * 10)
    task.signal("approved", {"by": "ann"}, after=timedelta(hours=3))

    *before, last = testing.run_until_done(onboard, "a-1", task)

    assert last == testing.Completed(["a-1", {"by": "ann"}, [10, 20], 30])
    assert DONE == ["a-1"]
    assert [type(outcome) for outcome in before] == [testing.Waiting] * 2
    assert next(str(wait) for wait in task.waits) == "the signal approved"
    assert task.time == BEGINNING + timedelta(days=1, hours=3)
    assert [each.type for each in task.submitted] == ["tests.print"] * 3
    assert task.undos["open"] == ("tests.close", {"id": {"$from": "result.id"}})


def test_a_signal_that_does_not_come_is_timed_out_by_the_clock():
    task = testing.DurableAttempt()
    task.answer("tests.print", 0)

    assert testing.run_until_done(onboard, "a-1", task)[-1].result[1] == "nobody"
    assert task.time == BEGINNING + timedelta(days=8)


def test_a_coroutine_waits_the_same():
    task = testing.DurableAttempt()
    task.answer("tests.print", PermanentError("no paper"))
    task.signal("approved", "yes")

    outcomes = testing.run_until_done(onboard_async, "a-1", task)

    assert isinstance(outcomes[-1], testing.Failed)
    assert "no paper" in str(outcomes[-1])
    assert DONE == ["a-1"]


def test_a_run_remembers_no_more_than_the_next_one_may_read():
    outcome = testing.run(hoard, 100, testing.DurableAttempt())

    assert isinstance(outcome, testing.Failed)
    assert "hand large results on as artifacts" in str(outcome)


def test_one_run_says_what_is_waited_for():
    outcome = testing.run(onboard, "a-1", testing.DurableAttempt())

    assert isinstance(outcome, testing.Waiting)
    assert outcome.wait.until == BEGINNING + timedelta(days=7)
    with pytest.raises(AssertionError, match="waits for the signal approved"):
        _ = outcome.result


def test_what_never_comes_is_told():
    @task_type("tests.endless", durable=True)
    def endless(task: DurableTask, payload: int) -> None:
        """Wait without end."""
        task.wait_for("godot")

    with pytest.raises(AssertionError, match="godot, which never comes"):
        testing.run_until_done(endless, 1)


def test_what_children_return_must_be_said():
    task = testing.DurableAttempt()
    task.signal("approved")

    failed = testing.run_until_done(onboard, "a-1", task)[-1]

    assert "what does tests.print return?" in str(failed)


def test_a_handler_begins_anew_with_another_payload():
    assert testing.run_until_done(counter, 1)[-1] == testing.Completed(3)
    assert DONE == ["1", "2", "3"]


def test_a_handler_that_swallows_its_suspension_fails():
    [outcome] = testing.run_until_done(swallow, 1)

    assert isinstance(outcome, testing.Failed)
    assert "caught the suspension" in str(outcome.error)


def test_a_wait_gives_a_fresh_budget_of_retries():
    outcomes = testing.run_until_done(flaky, 1, max_retries=2)

    assert outcomes[-1] == testing.Completed("slept")


def test_a_durable_handler_needs_a_durable_attempt():
    with pytest.raises(TypeError, match="DurableAttempt"):
        testing.run(onboard, "a-1", testing.Attempt())
