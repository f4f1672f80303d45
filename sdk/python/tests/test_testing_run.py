"""Handlers run as a worker runs them: what becomes of each kind of end."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from taskledger_sdk import (
    PermanentError,
    RetryLater,
    RetryPolicy,
    ShuttingDown,
    TaskCancelled,
    TaskContext,
    TimeLimitReached,
    task_type,
    testing,
)
from taskledger_sdk.errors import AskedToWait, PayloadRefused
from taskledger_sdk.testing import Attempt, Cancelled, Completed, Failed, GivenBack, Retrying

POLICY = RetryPolicy(max_retries=2, base_seconds=10, factor=3)


def declared(body: Callable[[TaskContext, Any], Any], **options: Any) -> Callable[..., Any]:
    @task_type("run_test.type", retry=POLICY, **options)
    def handler(task: TaskContext, payload: Any) -> Any:
        """Do what the test says."""
        return body(task, payload)

    return handler


def raising(error: BaseException) -> Callable[..., Any]:
    def body(_task: TaskContext, _payload: Any) -> None:
        raise error

    return declared(body)


def test_what_a_client_reads_is_the_result():
    handler = declared(lambda _task, payload: {"sent": (payload, 1), 5: None})

    assert testing.run(handler, "hello") == Completed({"sent": ["hello", 1], "5": None})


def test_a_type_can_be_named():
    declared(lambda _task, payload: payload)

    assert testing.run("run_test.type", "hello").result == "hello"


def test_a_payload_that_does_not_fit_is_refused_before_any_attempt():
    @task_type("run_test.number")
    def number(task: TaskContext, payload: int) -> int:
        """Take a number."""
        raise AssertionError("nobody runs this")

    with pytest.raises(PayloadRefused, match="payload: must be"):
        testing.run(number, "3")


def test_a_payload_that_is_no_json_is_refused():
    with pytest.raises(TypeError, match=r"not what a client can send: .*; give parsed JSON"):
        testing.run(declared(lambda _task, payload: payload), object())


def test_a_function_that_is_no_handler_is_named_with_what_to_do():
    def forgotten(task: TaskContext, payload: str) -> None: ...

    with pytest.raises(ValueError, match="forgotten is no handler of a task type: put @task_type"):
        testing.run(forgotten, "x")


def test_the_attempt_is_one_of_the_type():
    task = Attempt(settings={"SHOP_URL": "https://shop.example", "OTHER": "x"})
    handler = declared(
        lambda task, _payload: [task.type, dict(task.settings)], settings=("SHOP_URL",), timeout_seconds=30
    )

    outcome = testing.run(handler, None, task)

    assert outcome == Completed(["run_test.type", {"SHOP_URL": "https://shop.example"}])
    assert task.limit_seconds == 30


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_failure_is_tried_again_as_the_policy_says(attempt):
    fault = ValueError("no")

    outcome = testing.run(raising(fault), None, Attempt(attempt=attempt))

    assert (
        outcome
        == (Retrying(10, fault), Retrying(30, fault), Failed("all of its 2 retries are used", fault))[attempt - 1]
    )
    assert isinstance(outcome, Retrying | Failed)
    assert outcome.error is fault


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RetryLater(5), Retrying(5, RetryLater(5))),
        (AskedToWait(5), Retrying(10, AskedToWait(5))),
        (AskedToWait(50), Retrying(50, AskedToWait(50))),
        (PermanentError("no"), Failed("its error is permanent", PermanentError())),
        (SystemExit(3), Retrying(10, SystemExit())),
        (TimeLimitReached(), Retrying(10, TimeLimitReached())),
    ],
)
def test_what_an_error_leads_to(error, expected):
    assert testing.run(raising(error), None) == expected


@pytest.mark.parametrize("error", [TaskCancelled(), ShuttingDown()])
def test_a_stop_that_nobody_asked_for_is_a_failure(error):
    outcome = testing.run(raising(error), None)

    assert isinstance(outcome, Retrying)
    assert "although nobody had asked for it" in str(outcome.error)


def test_what_is_wrong_in_the_test_itself_leaves_the_runner():
    with pytest.raises(KeyboardInterrupt):
        testing.run(raising(KeyboardInterrupt()), None)


def test_a_task_of_its_own_has_its_own_number_of_retries():
    outcome = testing.run(raising(ValueError("no")), None, max_retries=0)

    assert outcome == Failed("it may not be retried", ValueError())


@pytest.mark.parametrize("result", [{1, 2}, float("nan"), b"x", "a\x00b", "x" * 1024 * 1024])
def test_a_result_that_cannot_be_kept_fails_for_good(result):
    outcome = testing.run(declared(lambda _task, _payload: result), None)

    assert outcome == Failed("its error is permanent", PermanentError())


@pytest.mark.parametrize(
    ("why", "expected"),
    [(TaskCancelled, Cancelled()), (ShuttingDown, GivenBack()), (TimeLimitReached, Retrying(10, TimeLimitReached()))],
)
def test_a_handler_that_is_stopped_ends_as_in_a_worker(why, expected):
    task = Attempt()
    task.stop(why, at_progress=0.5)

    assert testing.run(declared(lambda task, _payload: task.progress(0.5)), None, task) == expected


def test_a_handler_may_make_use_of_the_time_that_is_left_after_its_limit():
    def slow(task: TaskContext, _payload: Any) -> str:
        try:
            task.pass_time(400)
        except TimeLimitReached:
            return "half of it"
        return "all of it"

    assert testing.run(declared(slow), None).result == "half of it"


def test_who_asks_for_the_result_of_a_failed_attempt_is_told_what_happened():
    fault = PermanentError("the shop is closed")

    with pytest.raises(
        AssertionError, match="because its error is permanent: PermanentError: the shop is closed"
    ) as told:
        _ = testing.run(raising(fault), None).result

    assert told.value.__cause__ is fault


def test_an_attempt_that_fails_submits_only_what_it_submitted_at_once():
    def body(task: TaskContext, _payload: Any) -> None:
        task.submit("shop.mail", 1)
        task.submit("shop.mail", 2, key="b", now=True)
        raise ValueError

    task = Attempt()
    testing.run(declared(body), None, task)

    assert [each.payload for each in task.submitted] == [2]


def test_attempts_follow_one_another_until_one_completes():
    def third_time(task: TaskContext, _payload: Any) -> int:
        task.submit("shop.mail", task.attempt)
        if task.attempt < 3:
            raise RetryLater(5) if task.attempt == 1 else ValueError("no")
        return task.attempt

    task = Attempt()
    *retries, last = testing.run_until_done(declared(third_time), None, task)

    assert (retries, last) == ([Retrying(5, ValueError()), Retrying(30, ValueError())], Completed(3))
    assert [each.payload for each in task.submitted] == [3]


def test_attempts_end_when_all_retries_are_used():
    outcomes = testing.run_until_done(raising(ValueError("no")), None)

    assert [type(each) for each in outcomes] == [Retrying, Retrying, Failed]


def test_an_attempt_that_is_given_back_uses_no_retry():
    def body(task: TaskContext, _payload: Any) -> None:
        task.progress(0.5)
        raise ValueError(task.attempt)

    task = Attempt()
    task.stop(ShuttingDown, at_progress=0.5)
    outcomes = testing.run_until_done(declared(body), None, task)

    assert [type(each) for each in outcomes] == [GivenBack, Retrying, Retrying, Failed]
    assert [each.seconds for each in outcomes if isinstance(each, Retrying)] == [10, 30]


def test_a_cancelled_task_has_no_further_attempt():
    task = Attempt()
    task.stop(TaskCancelled)

    assert testing.run_until_done(declared(lambda task, _payload: task.check_cancelled()), None, task) == (Cancelled(),)


async def waiting(task: TaskContext, payload: Any) -> Any:
    """Wait for something slow."""
    try:
        task.pass_time(payload)
        await asyncio.sleep(0)
        task.check_cancelled()
        return "done"
    except asyncio.CancelledError:
        task.log("cleaned up")
        raise


@pytest.mark.parametrize(
    ("seconds", "why", "expected"),
    [
        (10, None, Completed("done")),
        (10, TaskCancelled, Cancelled()),
        (10, ShuttingDown, GivenBack()),
        (400, None, Retrying(10, TimeLimitReached())),
    ],
)
def test_a_coroutine_is_cancelled_where_it_waits(seconds, why, expected):
    handler = task_type("run_test.coroutine", retry=POLICY)(waiting)
    task = Attempt()
    if why is not None:
        task.stop(why, after_seconds=10)

    outcome = testing.run(handler, seconds, task)

    assert outcome == expected
    assert bool(task.lines) == (outcome != Completed("done"))


def test_a_coroutine_that_asks_is_told_where_it_asks():
    handler = task_type("run_test.coroutine", retry=POLICY)(waiting)
    task = Attempt()
    task.stop(TaskCancelled, at_check=1)

    assert testing.run(handler, 1, task) == Cancelled()
    assert task.lines == []


def test_a_coroutine_that_cancels_itself_fails():
    async def itself(task: TaskContext, payload: Any) -> None:
        raise asyncio.CancelledError

    outcome = testing.run(task_type("run_test.coroutine")(itself), None)

    assert "nobody had asked it to stop" in str(outcome)


def test_a_coroutine_that_ends_the_process_ends_its_attempt():
    async def leaving(task: TaskContext, payload: Any) -> None:
        sys.exit(1)

    assert isinstance(testing.run(task_type("run_test.coroutine")(leaving), None), Retrying)


def counting(task: TaskContext, _payload: Any) -> int:
    step = task.last_checkpoint or 0
    while step < 3:
        step += 1
        task.checkpoint(step)
    return step


@pytest.mark.parametrize(("why", "stopped"), [(ShuttingDown, GivenBack()), (TaskCancelled, Cancelled())])
def test_a_handler_stops_at_a_checkpoint_which_is_kept(why, stopped):
    task = Attempt()
    task.stop(why, at_checkpoint=2)

    assert testing.run(declared(counting), None, task) == stopped
    assert (task.last_checkpoint, task.checkpoints) == (2, [1, 2])


def test_the_next_attempt_goes_on_from_the_last_checkpoint():
    task = Attempt()
    task.stop(ShuttingDown, at_checkpoint=2)

    assert testing.run_until_done(declared(counting), None, task) == (GivenBack(), Completed(3))
    assert task.checkpoints == [1, 2, 3]


def test_a_coroutine_stops_at_a_checkpoint_too():
    async def handler(task: TaskContext, _payload: Any) -> None:
        task.checkpoint({"page": (1, 2)})

    task = Attempt()
    task.stop(ShuttingDown, at_checkpoint=1)

    assert testing.run(task_type("run_test.coroutine")(handler), None, task) == GivenBack()
    assert task.last_checkpoint == {"page": [1, 2]}


@pytest.mark.parametrize("value", ["x" * 64 * 1024, {1}])
def test_a_checkpoint_that_cannot_be_kept_fails_the_task_for_good(value):
    outcome = testing.run(declared(lambda task, _payload: task.checkpoint(value)), None)

    assert isinstance(outcome, Failed)
    assert "task.checkpoint() was given" in str(outcome)
