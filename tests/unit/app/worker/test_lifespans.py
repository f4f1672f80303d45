"""The lifespans of a process: when they are started, who is told when that fails, and how they end."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from app.services.tasks.outcomes import Completed, Retrying
from app.worker import attempt, lifespans
from app.worker.attempt import run_attempt
from app.worker.lifespans import LifespanFailed, Lifespans
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk import lifespan
from taskledger_sdk import lifespans as declarations
from taskledger_sdk.lifespans import NotStarted
from taskledger_sdk.registry import get_type
from tests.unit.app.worker.test_attempt import running


@pytest.fixture(autouse=True)
def process(monkeypatch):
    """The lifespans of a process that has just begun."""
    monkeypatch.setattr(declarations, "_declared", {})
    process = Lifespans()
    monkeypatch.setattr(attempt, "LIFESPANS", process)
    yield process
    process.end()


@pytest.fixture
def said():
    """What the lifespans below have done, in order."""
    return []


def plain(said, name="plain"):
    def client():
        said.append(f"{name} opened")
        yield name
        said.append(f"{name} closed")

    client.__qualname__ = name
    return lifespan(client)


def asynchronous(said, name="async"):
    async def client():
        said.append(f"{name} opened in {threading.current_thread().name}")
        task = asyncio.current_task()
        yield name
        said.append(f"{name} closed by the {'same' if asyncio.current_task() is task else 'wrong'} task")

    client.__qualname__ = name
    return lifespan(client)


def run(handler):
    return run_attempt(replace(get_type("reverse_string"), handler=handler), running(), None, Stopper(ParentStop()))


def test_each_is_started_before_the_first_attempt_and_once(said):
    first, second = plain(said), asynchronous(said)

    async def handler(_task, _text):
        return [first.value, second.value]

    assert [run(handler), run(handler)] == [Completed(result=["plain", "async"])] * 2
    assert said == ["plain opened", "async opened in event-loop"]


def test_a_plain_handler_finds_what_an_async_one_opened(said):
    client = asynchronous(said)

    assert run(lambda _task, _text: client.value) == Completed(result="async")


def test_they_end_with_the_process_the_last_one_first(process, said):
    first, second = plain(said), asynchronous(said)
    run(lambda *_: None)
    del said[:]

    process.end()

    assert said == ["async closed by the same task", "plain closed"]
    for client in (first, second):
        with pytest.raises(NotStarted):
            _ = client.value


def test_a_process_that_ran_nothing_opens_and_closes_nothing(process, said):
    plain(said)

    process.end()

    assert said == []


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_one_that_cannot_be_started_fails_the_attempt_with_a_clear_text_and_is_tried_again(kind):
    tries = []

    def open_():
        tries.append(True)
        if len(tries) == 1:
            raise ConnectionError("nobody listens at redis:6379")
        return "a client"

    if kind == "plain":

        def client():
            yield open_()
    else:

        async def client():
            yield open_()

    client.__qualname__ = "client"
    declared = lifespan(client)

    failed = run(lambda _task, _text: declared.value)
    again = run(lambda _task, _text: declared.value)

    assert isinstance(failed, Retrying)
    assert failed.failure.message == (
        f"{__name__}.client could not be started (ConnectionError: nobody listens at redis:6379); "
        "the next attempt tries it again"
    )
    assert "in open_" in failed.failure.traceback
    assert again == Completed(result="a client")


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), KeyboardInterrupt()])
def test_nothing_that_is_raised_at_the_start_leaves_the_attempt(error):
    @lifespan
    async def client():
        raise error
        yield

    assert isinstance(run(lambda *_: None), Retrying)


def test_an_async_start_has_a_bound_and_says_so(monkeypatch):
    monkeypatch.setattr(lifespans, "START_SECONDS", 0.05)

    @lifespan
    async def client():
        await asyncio.sleep(60)
        yield

    assert "(TimeoutError: it was not open after 0.05 s)" in run(lambda *_: None).failure.message


def test_its_own_timeout_is_not_taken_for_that_bound():
    @lifespan
    async def client():
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
        yield

    assert "it was not open" not in run(lambda *_: None).failure.message


def test_attempts_that_came_while_a_start_failed_do_not_each_wait_for_another(process):
    tries = []

    @lifespan
    def client():
        tries.append(True)
        time.sleep(0.3)
        raise ConnectionError("nobody listens")
        yield

    failures = []

    def attempt_one():
        try:
            process.ensure(__name__)
        except LifespanFailed as error:
            failures.append(str(error))

    threads = [threading.Thread(target=attempt_one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert (len(tries), len(failures), len(set(failures))) == (1, 10, 1)


def test_the_end_has_a_bound(process, monkeypatch, said):
    monkeypatch.setattr(lifespans, "END_SECONDS", 0.1)
    told = []
    monkeypatch.setattr(lifespans.log, "warning", lambda event, **fields: told.append((event, fields["lifespans"])))

    async def client():
        yield
        await asyncio.sleep(60)

    plain(said, "before")
    client.__qualname__ = "client"
    lifespan(client)
    run(lambda *_: None)

    began = time.monotonic()
    process.end()

    assert time.monotonic() - began < 1
    assert told == [("lifespans_not_ended", [f"{__name__}.client", f"{__name__}.before"])]


def test_one_that_breaks_at_its_end_keeps_no_other_open(process, said):
    plain(said, "first")

    @lifespan
    def second():
        yield
        raise OSError("already closed")

    run(lambda *_: None)
    process.end()

    assert said == ["first opened", "first closed"]


def test_one_that_ended_by_itself_is_started_again(said):
    client = asynchronous(said)

    async def cancel_all(_task, _text):
        """What no handler should do."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    run(cancel_all)

    assert run(lambda _task, _text: client.value) == Completed(result="async")
