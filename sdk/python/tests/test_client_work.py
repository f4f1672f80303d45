"""Worker loops of the clients: claims, heartbeats, outcomes, and how they stop."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from fake_work import FakeWork, working

from taskledger_sdk import AsyncClient, Client, PermanentError, RetryLater
from taskledger_sdk.client import NotPermitted, WorkTask
from taskledger_sdk.client.work import messages

KEY = "tl_" + "k" * 30


@pytest.fixture
def fake() -> Iterator[FakeWork]:
    with working() as fake:
        yield fake


def until(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class Wordless(Exception):
    """One whose class has a fault of its own."""

    def __str__(self) -> str:
        return self.text  # there is none


class Run:
    """A worker loop in a thread of its own."""

    def __init__(self, kind: str, fake: FakeWork, handlers, **options) -> None:
        self.error: BaseException | None = None
        self._stop: Callable[[], None] = lambda: None
        self._ready = threading.Event()
        work = self._work_in_threads if kind == "threads" else self._work_in_coroutines
        self._thread = threading.Thread(target=self._guarded, args=(work, fake, handlers, options))
        self._thread.start()
        self._ready.wait(5)

    def _guarded(self, work, fake, handlers, options) -> None:
        try:
            work(fake, handlers, options)
        except BaseException as error:  # the test looks at it
            self.error = error

    def _work_in_threads(self, fake, handlers, options) -> None:
        stop = threading.Event()
        self._stop = stop.set
        with Client(fake.url, KEY) as client:
            self._ready.set()
            client.work(handlers, stop=stop, **options)

    def _work_in_coroutines(self, fake, handlers, options) -> None:
        async def main() -> None:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            self._stop = lambda: loop.call_soon_threadsafe(stop.set)
            async with AsyncClient(fake.url, KEY) as client:
                self._ready.set()
                await client.work(handlers, stop=stop, **options)

        asyncio.run(main())

    def ask_to_stop(self) -> None:
        with suppress(RuntimeError):  # the loop has ended by itself
            self._stop()

    def join(self) -> None:
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture(params=["threads", "coroutines"])
def start(request, fake):
    """Starts a loop of either client, and ends it with the test."""
    runs = []

    @contextmanager
    def started(handlers, **options):
        run = Run(request.param, fake, handlers, **{"stop_seconds": 5, **options})
        runs.append(run)
        try:
            yield run
        finally:
            run.ask_to_stop()
            run.join()

    return started


def test_a_result_is_told_with_the_lease(fake, start):
    task_id = fake.add({"width": 3})

    with start({"resize": lambda task, payload: {"twice": 2 * payload["width"]}}):
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["result"] == {"twice": 6}
    assert fake.told(task_id)["outcome"] == "complete"
    assert fake.claims[0]["types"] == ["resize"]
    assert fake.left == [fake.claims[0]["worker"]]


def test_a_coroutine_is_awaited(fake):
    async def resize(task: WorkTask, payload: int) -> int:
        await asyncio.sleep(0)
        return payload + 1

    task_id = fake.add(1)
    run = Run("coroutines", fake, {"resize": resize})
    until(lambda: fake.outcomes)
    run.ask_to_stop()
    run.join()

    assert fake.told(task_id)["result"] == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no width"), {"type": "ValueError", "message": "no width", "permanent": False}),
        (PermanentError("no such image"), {"type": "PermanentError", "permanent": True}),
        (RetryLater(7), {"permanent": False, "retry_in": 7}),
        (Wordless(), {"type": "Wordless", "message": "Wordless"}),
    ],
)
def test_an_error_is_told_with_what_follows_from_it(fake, start, error, told):
    def resize(task, payload):
        raise error

    task_id = fake.add()
    with start({"resize": resize}):
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["outcome"] == "fail"
    assert fake.told(task_id).items() >= told.items()
    assert "test_client_work.py" in fake.told(task_id)["traceback"]


def test_a_result_that_is_no_json_fails_for_good(fake, start):
    task_id = fake.add()

    with start({"resize": lambda task, payload: object()}):
        until(lambda: fake.outcomes)

    assert (fake.told(task_id)["outcome"], fake.told(task_id)["permanent"]) == ("fail", True)


def test_at_most_so_many_run_at_once_and_all_are_done(fake, start):
    running, most, lock = 0, 0, threading.Lock()

    def resize(task, payload):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    ids = {fake.add() for _ in range(40)}
    with start({"resize": resize}, concurrency=4):
        until(lambda: len(fake.outcomes) == 40)

    assert {each["task_id"] for each in fake.outcomes} == ids
    assert 2 <= most <= 4


def test_as_many_run_at_once_as_were_asked_for(fake, start):
    all_here = threading.Barrier(50)

    def resize(task, payload):
        all_here.wait(10)

    for _ in range(50):
        fake.add()
    with start({"resize": resize}, concurrency=50):
        until(lambda: len(fake.outcomes) == 50)

    assert {each["outcome"] for each in fake.outcomes} == {"complete"}


def test_a_task_is_not_given_back_while_its_handler_runs_in_a_thread(fake, start):
    asked, go_on = threading.Event(), threading.Event()

    def resize(task, payload):
        while task.stop is None:
            time.sleep(0.01)
        asked.set()
        go_on.wait(10)
        task.check_cancelled()

    task_id = fake.add(lease_seconds=1)
    fake.cancelled.add(task_id)
    with start({"resize": resize}):
        asked.wait(10)
        time.sleep(0.3)
        told_early = list(fake.outcomes)
        go_on.set()
        until(lambda: fake.outcomes)

    assert told_early == []
    assert fake.told(task_id)["outcome"] == "release"


def test_leases_are_renewed_and_progress_is_told(fake, start):
    go_on = threading.Event()

    def resize(task, payload):
        task.progress(0.5, "half")
        task.log("read", rows=3)
        go_on.wait(10)

    task_id = fake.add(lease_seconds=1)
    with start({"resize": resize}):
        until(lambda: fake.beats)
        go_on.set()
        until(lambda: fake.outcomes)

    assert fake.beats[0]["task_id"] == task_id
    assert (fake.beats[0]["progress"], fake.beats[0]["message"]) == (0.5, "half")
    assert fake.beats[0]["log"] == [{"message": "read", "fields": {"rows": 3}}]


def test_what_the_ledger_cannot_keep_is_told_as_text(fake, start):
    go_on = threading.Event()

    def resize(task, payload):
        task.progress(0.5, "half of \udcff")
        task.log("read\x00", rate=float("nan"), name="\udcff", **{f"f{n}": n for n in range(30)})
        go_on.wait(10)

    fake.add()
    with start({"resize": resize}):
        until(lambda: fake.beats)
        go_on.set()
        until(lambda: fake.outcomes)

    assert fake.beats[0]["message"] == "half of \\udcff"
    [line] = fake.beats[0]["log"]
    assert line["message"] == "read\\x00"
    assert (line["fields"]["rate"], line["fields"]["name"], len(line["fields"])) == ("nan", "\\udcff", 20)


def test_a_word_that_is_refused_costs_no_lease(fake, start):
    go_on = threading.Event()
    fake.refused_word = "refuse me"

    def resize(task, payload):
        task.log(payload)
        task.checkpoint({"page": 7})
        go_on.wait(10)

    ids = {fake.add("refuse me", lease_seconds=1), fake.add("take me", lease_seconds=1)}
    with start({"resize": resize}, concurrency=2):
        until(lambda: {each["task_id"] for each in fake.beats} == ids)
        go_on.set()
        until(lambda: len(fake.outcomes) == 2)

    assert [each["log"][0]["message"] for each in fake.beats if "log" in each] == ["take me"]
    assert {each["task_id"] for each in fake.beats if each.get("checkpoint") == {"page": 7}} == ids


def test_a_checkpoint_is_told_and_given_to_the_next_attempt(fake, start):
    begun = threading.Event()

    def resize(task, payload):
        assert task.last_checkpoint == {"page": 6}
        task.checkpoint({"page": 7})
        begun.set()
        while True:
            time.sleep(0.01)
            task.checkpoint({"page": 8})

    task_id = fake.add()
    fake.waiting[0]["checkpoint"] = {"page": 6}
    with start({"resize": resize}, stop_seconds=0.0) as run:
        begun.wait(10)
        run.ask_to_stop()
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["outcome"] == "release"
    kept = [each["checkpoint"] for each in [*fake.beats, *fake.outcomes] if "checkpoint" in each]
    assert kept[-1] in ({"page": 7}, {"page": 8})


def test_a_cancelled_task_is_told_so_and_released(fake, start):
    def resize(task, payload):
        while True:
            task.check_cancelled()
            time.sleep(0.01)

    task_id = fake.add(lease_seconds=1)
    fake.cancelled.add(task_id)
    with start({"resize": resize}):
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["outcome"] == "release"


def test_a_handler_that_runs_too_long_is_told_so(fake, start):
    def resize(task, payload):
        while True:
            task.check_cancelled()
            time.sleep(0.01)

    task_id = fake.add(timeout=0.2)
    with start({"resize": resize}):
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["type"] == "TimeLimitReached"


def test_a_claim_whose_answer_is_lost_is_sent_again_as_it_is(fake, start):
    task_id = fake.add()
    fake.breaks["claim"] = 1

    with start({"resize": lambda task, payload: 1}):
        until(lambda: fake.outcomes)

    assert fake.claims[0]["claim"] == fake.claims[1]["claim"]
    assert fake.told(task_id)["result"] == 1


def test_an_outcome_whose_answer_is_lost_is_recorded_once(fake, start):
    fake.add()
    fake.breaks["outcomes"] = 2

    with start({"resize": lambda task, payload: 1}):
        until(lambda: fake.outcomes)
        until(lambda: fake.breaks["outcomes"] == 0)

    assert len(fake.outcomes) == 1


def test_on_a_stop_what_runs_may_end(fake, start):
    begun, go_on = threading.Event(), threading.Event()

    def resize(task, payload):
        begun.set()
        go_on.wait(10)
        return "done"

    task_id = fake.add()
    with start({"resize": resize}) as run:
        begun.wait(10)
        run.ask_to_stop()
        fake.add()
        time.sleep(0.1)
        go_on.set()
        run.join()

    assert fake.told(task_id)["result"] == "done"
    assert [each["task_id"] for each in fake.outcomes if each["outcome"] == "complete"] == [task_id]


def test_what_is_just_being_claimed_on_a_stop_is_given_back(fake, start):
    fake.slow_claim = 0.2

    with start({"resize": lambda task, payload: None}) as run:
        until(lambda: fake.claims)
        task_id = fake.add()
        until(lambda: fake.answered)
        run.ask_to_stop()
        run.join()

    assert fake.told(task_id)["outcome"] == "release"


def test_on_a_stop_what_does_not_end_is_given_back(fake, start):
    go_on = threading.Event()
    begun = threading.Event()

    def resize(task, payload):
        begun.set()
        go_on.wait(10)

    task_id = fake.add()
    with start({"resize": resize}, stop_seconds=0.1) as run:
        begun.wait(10)
        run.ask_to_stop()
        until(lambda: fake.outcomes)
        go_on.set()
        run.join()

    assert fake.told(task_id)["outcome"] == "release"


def test_a_key_that_may_not_work_is_told_to_the_caller(fake, start):
    fake.refuses["claim"] = (403, "type_not_allowed")

    with start({"resize": lambda task, payload: 1}) as run:
        run.join()

    assert isinstance(run.error, NotPermitted)


def test_a_service_that_is_away_is_waited_for(fake, start):
    fake.refuses["claim"] = (503, "unavailable")
    task_id = fake.add()

    with start({"resize": lambda task, payload: 1}):
        time.sleep(0.3)
        fake.refuses.clear()
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["result"] == 1


def test_an_outcome_that_is_refused_alone_fails_for_good(fake, start):
    record = fake.record

    def picky(body):
        if any(each.get("result") == "x" * 100 for each in body["items"]):
            fake.refuses["outcomes"] = (413, "too_large")
        return record(body)

    fake.refuses["outcomes"] = (413, "too_large")
    task_id = fake.add()
    with start({"resize": lambda task, payload: "x" * 100}):
        time.sleep(0.2)
        fake.refuses.clear()
        until(lambda: fake.outcomes)

    assert fake.told(task_id)["permanent"] is True


def test_nothing_to_work_on_is_said_at_once(fake):
    with Client(fake.url, KEY) as client, pytest.raises(ValueError, match="types that it works on"):
        client.work({})


def test_pauses_grow_and_have_an_end():
    pauses = [messages.pause_after(failures, 0.0) for failures in (1, 2, 3, 20)]

    assert pauses == [0.5, 1.0, 2.0, 15.0]
