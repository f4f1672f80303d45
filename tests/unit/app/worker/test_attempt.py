"""One attempt: what a handler does becomes an outcome."""

import signal
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from billiard import common
from msgspec import structs

from app.models import new_id
from app.observability import scrubbing
from app.services.lifecycle import Claim
from app.services.tasks.outcomes import Completed, Failed, GivenBack, Retrying, Stopped
from app.worker.attempt import run_attempt
from app.worker.in_progress import Running
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk.errors import PermanentError, RetryLater, ShuttingDown, TaskCancelled, TimeLimitReached
from taskledger_sdk.registry import get_type
from taskledger_sdk.results import RESULT_BYTES
from tests.support.factories import NOON

CLAIM = Claim(
    id=new_id(),
    type="reverse_string",
    payload="hello",
    attempt=1,
    retries_used=0,
    max_retries=3,
    timeout_seconds=None,
    priority="normal",
    queue="tasks",
    dispatched_at=NOON,
    lease=uuid4(),
    lease_seconds=60,
)


def running(**claim):
    return Running(claim=structs.replace(CLAIM, **claim), timeout_seconds=300, grace_seconds=10)


def run(handler, **claim):
    task_type = replace(get_type("reverse_string"), handler=handler)
    return run_attempt(task_type, running(**claim), None, Stopper(ParentStop()))


def raising(error):
    def handler(_task, _payload):
        raise error

    return handler


def test_what_the_handler_returns_is_the_result():
    assert run(lambda _task, text: text[::-1]) == Completed(result="olleh")


def test_a_payload_that_its_type_refuses_fails_for_good():
    outcome = run(lambda *_: None, payload=17)

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "PayloadRefused"


def test_an_error_is_retried_while_retries_are_left():
    outcome = run(raising(LookupError("no such city")))

    assert isinstance(outcome, Retrying)
    assert (outcome.failure.type, outcome.failure.message) == ("LookupError", "no such city")


def test_an_error_fails_the_task_when_no_retry_is_left():
    assert isinstance(run(raising(LookupError("no")), retries_used=3), Failed)


def test_a_permanent_error_is_never_retried():
    assert isinstance(run(raising(PermanentError("no"))), Failed)


def test_retry_later_says_when():
    assert run(raising(RetryLater(90))).delay == timedelta(seconds=90)


def test_a_soft_time_limit_is_retried_like_other_errors():
    assert run(raising(TimeLimitReached("its limit was reached"))).failure.type == "TimeLimitReached"


def test_a_cancelled_handler_was_stopped():
    assert run(raising(TaskCancelled())) == Stopped()


def test_a_handler_that_is_interrupted_by_a_shutdown_is_given_back():
    assert isinstance(run(raising(ShuttingDown())), GivenBack)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RecursionError()])
def test_no_other_error_leaves_the_attempt(error):
    assert isinstance(run(raising(error)), Retrying)


@pytest.mark.parametrize(
    "result", [{1, 2}, float("nan"), b"bytes", "a\x00b", "\ud800", "x" * (RESULT_BYTES + 1), object()]
)
def test_a_result_that_a_row_cannot_hold_fails_for_good(result):
    outcome = run(lambda *_: result)

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "PermanentError"


def test_a_planted_secret_is_in_nothing_that_is_recorded_or_shown(monkeypatch):
    monkeypatch.setenv("SMTP_PASSWORD", "planted-secret-0451")
    scrubbing.look_again()
    try:
        outcome = run(raising(ConnectionError("535 refused: planted-secret-0451")), retries_used=3)
    finally:
        monkeypatch.undo()
        scrubbing.look_again()

    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "535 refused: [secret]"
    # The row, its events and what Celery and Flower show are all made from the failure.
    assert "secret-0451" not in str(outcome.failure.as_json()) + str(outcome)
    assert "ConnectionError" in outcome.failure.traceback


class UnreadableError(Exception):
    def __str__(self):
        raise ValueError("no words")


class OddError(BaseException):
    """As asyncio.CancelledError is one."""


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        SystemExit(-1),
        SystemExit(-(256 - 15)),
        SystemExit(None),
        SystemExit("bye"),
        UnreadableError(),
        OddError(),
    ],
)
def test_whatever_a_handler_raises_is_a_failure_that_counts(error):
    assert isinstance(run(raising(error)), Retrying)


def test_the_exit_by_which_the_pool_ends_a_process_is_passed_on():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            run(lambda *_: common._shutdown_cleanup(signal.SIGTERM, None))
    finally:
        common.clear_terminate_handler_fired()
        signal.signal(signal.SIGTERM, before)


def test_the_escape_of_a_nul_as_plain_characters_is_a_result_like_any_other():
    assert run(lambda *_: "\\u0000") == Completed(result="\\u0000")
