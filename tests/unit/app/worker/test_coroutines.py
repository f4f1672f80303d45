"""Coroutines of handlers: what they do becomes an outcome, a stop reaches them, and none of them harms another."""

import asyncio
import contextvars
import os
import sys
import threading
import time
from dataclasses import replace

import pytest

from app.services.tasks.outcomes import Completed, Failed, GivenBack, Retrying, Stopped
from app.worker import event_loop
from app.worker.attempt import LeaseGone, run_attempt
from app.worker.event_loop import LOOP, LoopThread
from app.worker.heartbeat import Heartbeat
from app.worker.in_progress import HintInProgress, InProgressRegistry
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk.errors import PermanentError, ShuttingDown, TaskCancelled, TimeLimitReached
from taskledger_sdk.registry import get_type
from tests.support.servers.waiting import wait_for
from tests.unit.app.worker.test_attempt import CLAIM, running


class Attempt:
    """An attempt in a thread of its own, as in a pool of threads; `ask` is what its heartbeat does."""

    def __init__(self, handler, **limits) -> None:
        self.running = replace(running(), **limits)
        self.outcome = None
        self.error = None
        self._stopper = Stopper(ParentStop())
        self._stopper.interrupts = False
        self._desk = InProgressRegistry()
        self.heartbeat = Heartbeat(self._desk, self._stopper)
        self._type = replace(get_type("reverse_string"), handler=handler)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._desk.begin(HintInProgress(claims={CLAIM.id: CLAIM}, current=self.running))
        try:
            self.outcome = run_attempt(self._type, self.running, None, self._stopper)
        except BaseException as error:
            self.error = error

    def ask(self, error: BaseException) -> None:
        self.heartbeat._ask_to_stop(self.running, error)

    def beat(self) -> None:
        self.heartbeat._enforce_limits(*self._desk.runs)

    def end(self, *, timeout: float = 5.0):
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the attempt did not end"
        return self.outcome


def run(handler):
    return Attempt(handler).end()


def test_what_a_coroutine_returns_is_the_result():
    async def handler(_task, text):
        await asyncio.sleep(0)
        return text[::-1]

    assert run(handler) == Completed(result="olleh")


def test_a_plain_function_may_return_a_coroutine():
    async def work(text):
        return text[::-1]

    assert run(lambda _task, text: work(text)) == Completed(result="olleh")


def test_all_coroutines_of_a_process_run_in_one_thread():
    async def handler(_task, _text):
        return threading.current_thread().name

    assert [run(handler).result for _ in range(3)] == ["event-loop"] * 3


def test_a_coroutine_sees_the_context_variables_of_its_attempt():
    told = contextvars.ContextVar("told", default="nothing")

    async def handler(_task, _text):
        return told.get()

    told.set("by the test")  # in this thread, which runs the attempt
    outcome = run_attempt(replace(get_type("reverse_string"), handler=handler), running(), None, Stopper(ParentStop()))

    assert outcome == Completed(result="by the test")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LookupError("no such city"), Retrying),
        (PermanentError("no"), Failed),
        (SystemExit(3), Retrying),
        (SystemExit(None), Retrying),
        (KeyboardInterrupt(), Retrying),
        (GeneratorExit(), Retrying),
        (StopAsyncIteration(), Retrying),
        (BaseExceptionGroup("both", [SystemExit(1), ValueError("no")]), Retrying),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.__name__,
)
def test_what_a_coroutine_raises_is_a_failure_of_its_task_alone(error, kind):
    async def handler(_task, _text):
        await asyncio.sleep(0)
        raise error

    outcome = run(handler)

    assert isinstance(outcome, kind)
    assert outcome.failure.type == type(error).__name__


def test_the_traceback_names_the_line_of_the_handler():
    async def handler(_task, _text):
        raise LookupError("no such city")

    assert "in handler" in run(handler).failure.traceback


@pytest.mark.parametrize(
    ("asked", "kind"), [(TaskCancelled(), Stopped), (ShuttingDown(), GivenBack), (TimeLimitReached("over"), Retrying)]
)
def test_a_stop_reaches_a_coroutine_that_waits_and_its_reason_is_the_outcome(asked, kind):
    seen, waits = [], threading.Event()

    async def handler(_task, _text):
        try:
            waits.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    attempt = Attempt(handler)
    waits.wait(5)
    attempt.ask(asked)

    assert isinstance(attempt.end(), kind)
    assert seen == ["cancelled", "cleaned up"]


def test_a_time_limit_is_told_as_such_with_the_place_where_it_was_reached():
    waits = threading.Event()

    async def handler(_task, _text):
        waits.set()
        await asyncio.sleep(60)

    attempt = Attempt(handler)
    waits.wait(5)
    attempt.ask(TimeLimitReached("its limit of 5 s was reached"))

    failure = attempt.end().failure
    assert (failure.type, failure.message) == ("TimeLimitReached", "its limit of 5 s was reached")
    assert "in handler" in failure.traceback


def test_a_lost_lease_ends_the_attempt_without_an_outcome():
    waits = threading.Event()

    async def handler(_task, _text):
        waits.set()
        await asyncio.sleep(60)

    attempt = Attempt(handler)
    waits.wait(5)
    attempt.ask(LeaseGone())

    assert attempt.end() is None
    assert isinstance(attempt.error, LeaseGone)


def test_one_that_is_asked_before_it_begins_does_not_begin():
    begun = []

    async def handler(_task, _text):
        begun.append(True)

    asked = running()
    asked.stop_error = TaskCancelled()
    outcome = run_attempt(replace(get_type("reverse_string"), handler=handler), asked, None, Stopper(ParentStop()))

    assert (outcome, begun) == (Stopped(), [])


def test_what_a_coroutine_returns_after_it_has_caught_its_cancellation_counts():
    waits = threading.Event()

    async def handler(_task, _text):
        waits.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "all the same"

    attempt = Attempt(handler)
    waits.wait(5)
    attempt.ask(TaskCancelled())

    assert attempt.end() == Completed(result="all the same")


def test_what_it_raises_instead_counts_too():
    waits = threading.Event()

    async def handler(_task, _text):
        waits.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError("no such city") from None

    attempt = Attempt(handler)
    waits.wait(5)
    attempt.ask(TimeLimitReached("over"))

    assert attempt.end().failure.type == "LookupError"


def test_one_that_goes_on_after_its_grace_period_is_cancelled_at_each_beat():
    waits, caught = threading.Event(), []

    async def handler(_task, _text):
        waits.set()
        while len(caught) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                caught.append(True)
        return "at last"

    attempt = Attempt(handler, grace_seconds=0.05)
    waits.wait(5)
    attempt.ask(TaskCancelled())
    for beats in (1, 2, 3):
        wait_for(lambda beats=beats: len(caught) == beats, timeout=5)
        time.sleep(0.06)
        attempt.beat()

    assert attempt.end() == Completed(result="at last")


@pytest.mark.parametrize("how", ["itself", "what it awaits"])
def test_one_that_ends_cancelled_without_having_been_asked_has_failed_and_says_so(how):
    async def handler(_task, _text):
        if how == "itself":
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other

    failure = run(handler).failure

    assert failure.type == "RuntimeError"
    assert "nobody had asked it to stop" in failure.message


HARM = {
    "exits": lambda loop: sys.exit(1),
    "exits in a task": lambda loop: loop.create_task(_exit()),
    "exits in a callback": lambda loop: loop.call_soon(sys.exit, 1),
    "interrupts in a callback": lambda loop: loop.call_soon(_interrupt),
    "stops the loop": lambda loop: loop.stop(),
    "closes the loop": lambda loop: loop.close(),
    "runs another one": lambda loop: asyncio.run(_exit()),
}


async def _exit():
    sys.exit(1)


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:coroutine '_exit' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_nothing_that_one_handler_does_to_its_loop_ends_the_others(harm):
    go_on, waiting = threading.Event(), threading.Barrier(11)

    async def good(_task, _text):
        await asyncio.to_thread(waiting.wait)
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return "well"

    async def bad(_task, _text):
        harm(asyncio.get_running_loop())
        await asyncio.sleep(0.05)

    others = [Attempt(good) for _ in range(10)]
    waiting.wait(5)
    run(bad)
    go_on.set()

    assert [each.end() for each in others] == [Completed(result="well")] * 10
    assert run(good_again) == Completed(result="again")


async def good_again(_task, _text):
    return "again"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_loop_of_its_own():
    assert run(good_again) == Completed(result="again")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = run_attempt(
            replace(get_type("reverse_string"), handler=good_again), running(), None, Stopper(ParentStop())
        )
        os.write(writer, outcome.result.encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 100) == b"again"
    os.close(reader)
    os.close(writer)


@pytest.fixture
def said(monkeypatch):
    """What is logged of the loop, in time that has no patience."""
    lines = []
    monkeypatch.setattr(event_loop, "BLOCKED_SECONDS", 0.05)
    monkeypatch.setattr(event_loop.log, "warning", lambda event, **fields: lines.append((event, fields)))
    return lines


def test_a_handler_that_keeps_the_loop_is_named_with_its_line(said):
    async def handler(_task, _text):
        time.sleep(0.3)

    attempt = Attempt(handler)
    time.sleep(0.05)
    LOOP.watch()
    time.sleep(0.1)
    LOOP.watch()
    attempt.end()

    [(event, fields)] = said
    assert event == "event_loop_blocked"
    assert fields["who"] == f"reverse_string {CLAIM.id}"
    assert f"{__file__}:" in fields["place"]
    assert fields["place"].endswith("in handler")
    wait_for(lambda: LOOP.blocked_seconds == 0.0, timeout=2)


def test_a_loop_that_answers_is_not_spoken_of(said):
    run(good_again)
    for _ in range(3):
        LOOP.watch()
        time.sleep(0.1)

    assert (said, LOOP.blocked_seconds) == ([], 0.0)


def test_a_loop_that_nobody_needs_is_not_started():
    loop = LoopThread()

    loop.watch()

    assert (loop.blocked_seconds, loop._thread) == (0.0, None)


def test_a_pool_of_threads_ends_when_a_handler_keeps_its_loop_beyond_its_grace_period(monkeypatch):
    killed, waits, enough = [], threading.Event(), threading.Event()
    monkeypatch.setattr("app.worker.heartbeat.os.kill", lambda _pid, number: (killed.append(number), enough.set()))

    async def handler(_task, _text):
        waits.set()
        enough.wait(5)

    attempt = Attempt(handler, grace_seconds=0.1)
    waits.wait(5)
    LOOP.watch()
    attempt.ask(TaskCancelled())
    attempt.beat()
    before = list(killed)
    time.sleep(0.15)
    attempt.beat()
    attempt.end()

    assert (before, len(killed)) == ([], 1)
