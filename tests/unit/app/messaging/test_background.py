"""The thread that publishes, with a broker that does what a test says."""

import threading
from collections.abc import Sequence

import pytest
from amqp.exceptions import PreconditionFailed

from app.messaging import Hint
from app.messaging.background import BUSY_FROM, FAULT_SECONDS, Background, PublisherThread, Timing
from app.messaging.messages import DeadLetter
from app.models import new_id
from tests.support.one_by_one import published_one_by_one
from tests.support.servers.waiting import wait_for

NEVER = 60.0  # seconds that no test waits
DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class OddPublisher:
    """Connects; raises what it is told to when it publishes, and confirms when it is allowed to."""

    errors = (OSError, PreconditionFailed)

    def __init__(self) -> None:
        self.published: list[Hint] = []
        self.error: BaseException | None = None
        self.may_confirm = threading.Event()
        self.may_confirm.set()

    def connect(self) -> None:
        pass

    def publish(self, hint: Hint) -> None:
        if self.error is not None:
            raise self.error
        self.published.append(hint)
        self.may_confirm.wait(10)

    def publish_together(self, hints: Sequence[Hint]) -> tuple[list[Hint], BaseException | None]:
        return published_one_by_one(self.publish, hints)

    def close(self) -> None:
        pass


class Clock:
    """Moments that a test chooses, and how often somebody asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


@pytest.fixture
def publisher() -> OddPublisher:
    return OddPublisher()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_thread(publisher, clock):
    """A thread whose clock stands still, so that it gathers for as long as it is told to; stopped at the end."""
    made = []

    def make(gather_seconds: float = 0.02, **timing: float) -> PublisherThread:
        waits = Timing(gather_seconds=gather_seconds, pause_after_fault_seconds=0, **timing)
        made.append(PublisherThread(publisher, timing=waits, clock=clock))
        return made[-1]

    yield make
    for thread in made:
        thread.stop(5)


@pytest.fixture
def start(make_thread):
    def started(**timing: float) -> PublisherThread:
        thread = make_thread(**timing)
        thread.start()
        return thread

    return started


@pytest.fixture
def background(publisher, make_thread) -> Background:
    return Background(make_thread=make_thread, make_publisher=lambda: publisher)


def hint() -> Hint:
    return Hint(type="reverse_string", ids=(new_id(),), queue="tasks", priority="normal", time_limit=60)


def sharing(tasks: int = 1) -> Hint:
    ids = tuple(new_id() for _ in range(tasks))
    return Hint(type="reverse_string", ids=ids, queue="tasks", priority="normal", time_limit=60, chunk=100)


def test_a_batch_that_fails_does_not_end_the_thread(publisher, start):
    thread = start()
    thread.offer(DeadLetter.__new__(DeadLetter))  # which this publisher knows nothing of: an AttributeError
    wait_for(thread.recent_fault)

    second = hint()
    thread.offer(second)

    wait_for(lambda: publisher.published == [second])


@DIES
def test_a_thread_that_died_is_started_again_and_keeps_what_waits(publisher, start):
    thread = start()
    publisher.error = SystemExit()
    thread.offer(hint())
    wait_for(lambda: not thread.is_well())
    publisher.error = None
    waiting = hint()
    thread.offer(waiting)

    thread.start()

    wait_for(lambda: publisher.published == [waiting])


@DIES
def test_a_process_starts_its_thread_at_the_first_hint_and_again_when_it_has_died(publisher, background):
    publisher.error = SystemExit()
    before = set(threading.enumerate())
    background.dispatch_soon(hint())
    wait_for(lambda: "publisher" not in {each.name for each in set(threading.enumerate()) - before})
    publisher.error = None

    second = hint()
    background.dispatch_soon(second)

    wait_for(lambda: publisher.published == [second])


def test_a_broker_that_takes_connections_and_refuses_hints_is_a_fault(publisher, background):
    publisher.error = PreconditionFailed("inequivalent arg")

    background.dispatch_soon(hint())

    wait_for(lambda: "inequivalent arg" in (background.broker_fault() or ""))


def test_an_old_fault_is_not_believed_without_asking_the_broker(publisher, background, clock):
    publisher.error = PreconditionFailed("inequivalent arg")
    background.dispatch_soon(hint())
    wait_for(background.broker_fault)

    clock.now += FAULT_SECONDS

    assert background.broker_fault() is None


def test_a_hint_that_comes_after_a_quiet_moment_goes_out_at_once(publisher, start, clock):
    thread = start(gather_seconds=NEVER)
    first, second = sharing(), sharing()
    thread.offer(first)
    wait_for(lambda: publisher.published == [first])

    clock.now += NEVER
    thread.offer(second)

    wait_for(lambda: publisher.published == [first, second])


def test_hints_of_a_chunked_type_that_come_soon_after_one_wait_for_company(publisher, start):
    thread = start(gather_seconds=1.0)
    thread.offer(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    hints = [sharing() for _ in range(5)]

    for each in hints:
        thread.offer(each)

    wait_for(lambda: len(publisher.published) == 2)
    assert publisher.published[1].ids == tuple(each.ids[0] for each in hints)


def test_where_many_come_hints_wait_longer_for_company(publisher, start):
    thread = start(gather_seconds=0, busy_gather_seconds=NEVER)
    publisher.may_confirm.clear()
    first, crowd, late = sharing(), [sharing() for _ in range(BUSY_FROM)], sharing()
    thread.offer(first)
    wait_for(lambda: publisher.published == [first])
    for each in crowd:
        thread.offer(each)
    publisher.may_confirm.set()
    wait_for(lambda: len(publisher.published) == 2)

    thread.offer(late)
    thread.stop(5)

    assert [len(each.ids) for each in publisher.published] == [1, BUSY_FROM, 1]
    assert Timing().gather_seconds_after(BUSY_FROM) > Timing().gather_seconds_after(BUSY_FROM - 1)


def test_a_hint_of_many_tasks_counts_as_many(publisher, start, clock):
    thread = start(gather_seconds=0, busy_gather_seconds=NEVER)
    thread.offer(sharing(tasks=BUSY_FROM))
    wait_for(thread.has_just_published)
    reads = clock.reads
    thread.offer(sharing())
    wait_for(lambda: clock.reads > reads)  # it was taken, and waits for company

    thread.offer(sharing())
    thread.stop(5)

    assert [len(each.ids) for each in publisher.published] == [BUSY_FROM, 2]


def test_a_hint_without_room_for_others_waits_for_nobody(publisher, start):
    thread = start(gather_seconds=NEVER)
    thread.offer(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    full = sharing(tasks=sharing().chunk)

    thread.offer(full)

    wait_for(lambda: publisher.published[1:] == [full])


def test_what_travels_alone_waits_for_nobody_and_takes_along_who_waits(publisher, start, clock):
    thread = start(gather_seconds=NEVER)
    thread.offer(sharing())
    wait_for(thread.has_just_published)
    waiting, urgent, reads = sharing(), hint(), clock.reads
    thread.offer(waiting)
    wait_for(lambda: clock.reads > reads)  # it was taken, and waits for company

    thread.offer(urgent)

    wait_for(lambda: set(publisher.published[1:]) == {waiting, urgent})


def test_what_travels_alone_waits_for_nobody_either_if_it_came_while_a_confirmation_was_awaited(publisher, start):
    thread = start(gather_seconds=NEVER)
    publisher.may_confirm.clear()
    first, waiting, urgent = sharing(), sharing(), hint()
    thread.offer(first)
    wait_for(lambda: publisher.published == [first])
    thread.offer(waiting)
    thread.offer(urgent)

    publisher.may_confirm.set()

    wait_for(lambda: set(publisher.published[1:]) == {waiting, urgent})


def test_who_waits_for_company_is_published_at_the_end(publisher, start):
    thread = start(gather_seconds=NEVER)
    thread.offer(sharing())
    wait_for(lambda: len(publisher.published) == 1)
    waiting = sharing()
    thread.offer(waiting)

    thread.stop(10)

    assert publisher.published[1:] == [waiting]
