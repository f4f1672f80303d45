"""The thread that publishes, with a broker that does what a test says."""

import threading
import time

import pytest
from amqp.exceptions import PreconditionFailed

from app.messaging import Hint, background
from app.messaging.background import PublisherThread
from app.models import new_id
from tests.support.servers.waiting import wait_for


class OddPublisher:
    """Connects; raises what it is told to when it publishes."""

    errors = (OSError, PreconditionFailed)

    def __init__(self) -> None:
        self.published: list[Hint] = []
        self.error: BaseException | None = None

    def connect(self) -> None:
        pass

    def publish(self, hint: Hint) -> None:
        if self.error is not None:
            raise self.error
        self.published.append(hint)

    def close(self) -> None:
        pass


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch):
    publisher = OddPublisher()
    monkeypatch.setattr(background, "Publisher", lambda: publisher)
    monkeypatch.setattr(background, "PAUSE_AFTER_FAULT_SECONDS", 0)
    monkeypatch.setattr(background, "_thread", None)
    monkeypatch.setattr(background, "_thread_pid", 0)
    yield publisher
    if background._thread is not None:
        background._thread.stop(5)


def hint() -> Hint:
    return Hint(type="reverse_string", ids=(new_id(),), queue="tasks", priority="normal", time_limit=60)


def test_a_batch_that_fails_does_not_end_the_thread(publisher, monkeypatch):
    coalesce = background.coalesce
    monkeypatch.setattr(background, "coalesce", lambda hints: {}["unforeseen"])
    background.dispatch_soon(hint())
    wait_for(background.broker_fault)
    monkeypatch.setattr(background, "coalesce", coalesce)

    second = hint()
    background.dispatch_soon(second)

    wait_for(lambda: publisher.published == [second])


def test_a_thread_that_died_is_started_again_and_keeps_what_waits(publisher, monkeypatch):
    run = PublisherThread._run
    monkeypatch.setattr(PublisherThread, "_run", lambda self: None)
    first, second = hint(), hint()
    background.dispatch_soon(first)
    wait_for(lambda: not background._thread.is_well())
    monkeypatch.setattr(PublisherThread, "_run", run)

    background.dispatch_soon(second)

    wait_for(lambda: [id_ for each in publisher.published for id_ in each.ids] == [*first.ids, *second.ids])


def test_a_broker_that_takes_connections_and_refuses_hints_is_a_fault(publisher):
    publisher.error = PreconditionFailed("inequivalent arg")

    background.dispatch_soon(hint())

    wait_for(lambda: "inequivalent arg" in (background.broker_fault() or ""))


def test_an_old_fault_is_not_believed_without_asking_the_broker(publisher, monkeypatch):
    publisher.error = PreconditionFailed("inequivalent arg")
    background.dispatch_soon(hint())
    wait_for(background.broker_fault)

    monkeypatch.setattr(background, "FAULT_SECONDS", 0)

    assert background.broker_fault() is None


def sharing() -> Hint:
    return Hint(type="reverse_string", ids=(new_id(),), queue="tasks", priority="normal", time_limit=60, chunk=100)


def test_a_hint_that_comes_after_a_quiet_moment_goes_out_at_once(publisher, monkeypatch):
    monkeypatch.setattr(background, "GATHER_SECONDS", 60)
    first = sharing()

    background.dispatch_soon(first)

    wait_for(lambda: publisher.published == [first])


def test_hints_of_a_chunked_type_that_come_soon_after_one_wait_for_company(publisher, monkeypatch):
    background.dispatch_soon(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    monkeypatch.setattr(background, "GATHER_SECONDS", 1.0)
    hints = [sharing() for _ in range(5)]

    for each in hints:
        background.dispatch_soon(each)

    wait_for(lambda: len(publisher.published) == 2)
    assert publisher.published[1].ids == tuple(each.ids[0] for each in hints)


def test_where_many_come_hints_wait_longer_for_company(publisher, monkeypatch):
    monkeypatch.setattr(background, "BUSY_GATHER_SECONDS", 1.0)
    is_confirmed, publish = threading.Event(), publisher.publish
    publisher.publish = lambda each: (publish(each), is_confirmed.wait(10))
    first, crowd, late = sharing(), [sharing() for _ in range(background.BUSY_FROM)], [sharing() for _ in range(3)]
    background.dispatch_soon(first)
    wait_for(lambda: publisher.published == [first])
    background.dispatch_soon(*crowd)
    is_confirmed.set()
    wait_for(lambda: len(publisher.published) == 2)
    before = len(publisher.published)

    for each in late:
        background.dispatch_soon(each)
        time.sleep(2 * background.GATHER_SECONDS)

    wait_for(lambda: len(publisher.published) > before)
    assert publisher.published[before].ids == tuple(each.ids[0] for each in late)


def test_what_travels_alone_waits_for_nobody_and_takes_along_who_waits(publisher, monkeypatch):
    monkeypatch.setattr(background, "GATHER_SECONDS", 60)
    background.dispatch_soon(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    waiting, urgent = sharing(), hint()
    background.dispatch_soon(waiting)

    background.dispatch_soon(urgent)

    wait_for(lambda: set(publisher.published[1:]) == {waiting, urgent})


def test_what_travels_alone_waits_for_nobody_either_if_it_came_while_a_confirmation_was_awaited(publisher, monkeypatch):
    monkeypatch.setattr(background, "GATHER_SECONDS", 60)
    is_confirmed, publish = threading.Event(), publisher.publish
    publisher.publish = lambda each: (publish(each), is_confirmed.wait(10))
    first, waiting, urgent = sharing(), sharing(), hint()
    background.dispatch_soon(first)
    wait_for(lambda: publisher.published == [first])
    background.dispatch_soon(waiting)
    background.dispatch_soon(urgent)

    is_confirmed.set()

    wait_for(lambda: set(publisher.published[1:]) == {waiting, urgent})


def test_who_waits_for_company_is_published_at_the_end(publisher, monkeypatch):
    monkeypatch.setattr(background, "GATHER_SECONDS", 60)
    background.dispatch_soon(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    waiting = sharing()
    background.dispatch_soon(waiting)

    background._thread.stop(10)

    assert publisher.published[1:] == [waiting]
