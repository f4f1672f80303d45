"""How much credit a worker's consumers have: what is acknowledged early, lost or ended takes a child, and no credit."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from celery.bootsteps import RUN
from kombu import Exchange, Queue

from app.worker import consumption
from app.worker.consumption import Consumption, Places
from app.worker.hint_consumer import HintConsumer
from tasks.brokers import NATS, RABBITMQ, RABBITMQ_QUORUM, REDIS, Broker


class RecordingChannel:
    """An AMQP channel that knows its consumers, each with the prefetch count that held when it began."""

    connection = None

    def __init__(self) -> None:
        self.count = 0
        self.consumers: dict[str, tuple[str, int]] = {}

    def basic_qos(self, _size: int, count: int, _global: bool) -> None:
        self.count = count

    def basic_consume(self, queue: str, consumer_tag: str, **_: Any) -> None:
        self.consumers[consumer_tag] = (queue, self.count)

    def basic_cancel(self, tag: str) -> None:
        del self.consumers[tag]


@dataclass(eq=False)
class Held:
    """A hint that the worker has, as Celery's request is."""

    message: Any
    received_at: float
    worker_pid: int | None = 4711
    args: tuple[str, ...] = ("an id",)
    acknowledged: bool = False
    given_back: bool = False
    held_seconds: float = 0.0

    def acknowledge(self) -> None:
        self.acknowledged = True

    def reject(self, *, requeue: bool) -> None:
        self.acknowledged = self.given_back = requeue


@dataclass
class Bench:
    """A worker's parent, without a broker: hints come over a channel, and time is what the test says."""

    consumer: Any
    held: list[Held] = field(default_factory=list)

    @property
    def tasks(self) -> HintConsumer:
        return self.consumer.task_consumer

    def arrive(self, *, seconds_ago: float = 0.0, tag: str | None = None, **fields: Any) -> Held:
        tag = tag or next(iter(self.tasks.channel.consumers), "gone")
        message = SimpleNamespace(channel=self.tasks.channel, delivery_info={"consumer_tag": tag})
        self.held.append(Held(message=message, received_at=time.monotonic() - seconds_ago, **fields))
        return self.held[-1]

    def end(self, held: Held) -> None:
        self.held.remove(held)

    def look(self) -> tuple[int | None, list[int]]:
        """The credit afterwards, and the prefetch count of each consumer of the first queue."""
        self.consumer.consumption.look(self.consumer)
        return self.tasks.credit, sorted(n for queue, n in self.tasks.channel.consumers.values() if queue == "tasks")

    def reconnect(self) -> None:
        """The connection is lost and comes back; Celery keeps what children work on."""
        self.consumer.consumption.stop(self.consumer)
        self.consumer.initial_prefetch_count = self.consumer.consumption.first_prefetch(self.consumer)
        connect(self.consumer)


def connect(consumer: Any) -> None:
    exchange = Exchange("tasks")
    channel: Any = RecordingChannel()
    queues = [Queue(name, exchange, routing_key=name)(channel) for name in ("tasks", "mail")]
    consumer.task_consumer = HintConsumer(channel, queues=queues, auto_declare=False)
    consumer.consumption.start(consumer)
    consumer.task_consumer.consume()


@pytest.fixture
def bench(monkeypatch) -> Callable[..., Bench]:
    """Make a worker with four children on a broker."""

    def made(broker: Broker, *, by_consumer: bool = False, slots: int = 4) -> Bench:
        monkeypatch.setattr(consumption, "get_settings", lambda: SimpleNamespace(broker=broker))
        consumer = SimpleNamespace(
            qos=SimpleNamespace(value=slots, prev=slots),
            qos_global=not by_consumer,
            prefetch_multiplier=1,
            initial_prefetch_count=slots,
            channel_errors=(),
            blueprint=SimpleNamespace(state=RUN),
            pool=SimpleNamespace(num_processes=slots),
            controller=SimpleNamespace(autoscaler=None),
        )
        Consumption(consumer)
        bench = Bench(consumer)
        monkeypatch.setattr(consumption, "reserved", lambda: list(bench.held))
        connect(consumer)
        return bench

    return made


@pytest.mark.parametrize(("broker", "seconds"), [(RABBITMQ, 600), (RABBITMQ_QUORUM, 600), (REDIS, None), (NATS, None)])
def test_a_hint_is_acknowledged_at_a_third_of_what_the_broker_allows_where_it_ends_channels(broker, seconds):
    assert broker.early_seconds == seconds


def test_nothing_differs_while_no_hint_is_old(bench):
    worker = bench(RABBITMQ)
    held = [worker.arrive(seconds_ago=599) for _ in range(4)]

    assert worker.look() == (4, [4])
    assert not any(each.acknowledged for each in held)


def test_an_old_hint_is_acknowledged_and_its_child_stays_taken(bench):
    worker = bench(RABBITMQ)
    old, _young = worker.arrive(seconds_ago=601), worker.arrive()

    assert worker.look() == (3, [3])
    assert old.acknowledged
    assert worker.consumer.consumption.places == Places(slots=4, free=2, acknowledged_early=1)
    assert worker.look() == (3, [3])


def test_without_a_free_child_nothing_is_consumed_until_one_is(bench):
    worker = bench(RABBITMQ, slots=2)
    held = [worker.arrive(seconds_ago=601) for _ in range(2)]

    assert worker.look() == (0, [])
    worker.end(held[0])
    assert worker.look() == (1, [1])
    worker.end(held[1])
    assert worker.look()[0] == 2
    assert worker.tasks.channel.count == 2


def test_where_counts_are_of_consumers_new_ones_begin_with_what_is_free_and_the_rest_follows(bench):
    worker = bench(RABBITMQ_QUORUM, by_consumer=True)
    _old, young = worker.arrive(seconds_ago=601), worker.arrive()

    assert worker.look() == (2, [2])  # the young one came over a consumer that has ended
    worker.end(young)
    assert worker.look() == (3, [1, 2])  # and what is at work is left alone
    assert worker.look() == (3, [1, 2])


def test_what_came_over_a_lost_connection_takes_its_child_and_no_credit(bench):
    worker = bench(RABBITMQ)
    held = [worker.arrive() for _ in range(3)]

    worker.reconnect()

    assert worker.consumer.initial_prefetch_count == 1
    assert (worker.tasks.credit, len(worker.tasks.channel.consumers)) == (1, 2)
    worker.end(held[0])
    assert worker.look()[0] == 2
    worker.held.clear()
    assert worker.look()[0] == 4


def test_after_a_lost_connection_a_worker_whose_children_are_all_taken_consumes_nothing(bench):
    worker = bench(NATS)
    held = [worker.arrive() for _ in range(4)]

    worker.reconnect()

    assert worker.tasks.channel.consumers == {}
    worker.end(held[0])
    assert worker.look() == (1, [1])


def test_a_hint_that_still_waits_for_a_child_is_given_back(bench):
    worker = bench(RABBITMQ)
    waiting = worker.arrive(seconds_ago=601, worker_pid=None)

    worker.look()

    assert waiting.given_back


def test_of_several_queues_with_counts_of_their_own_what_finds_no_child_goes_back(bench):
    worker = bench(RABBITMQ_QUORUM, by_consumer=True, slots=2)
    running = [worker.arrive(seconds_ago=3) for _ in range(2)]
    waiting = [worker.arrive(seconds_ago=3, worker_pid=None) for _ in range(2)]

    assert worker.look() == (0, [])
    assert all(each.given_back for each in waiting)
    assert not any(each.acknowledged for each in running)
    worker.end(running[0])
    assert worker.look() == (0, [])  # the child takes one of the copies that are left here, which does nothing
    for each in (running[1], waiting[0]):
        worker.end(each)
    assert worker.look() == (1, [1])


def test_a_hint_may_wait_for_a_child_where_the_channel_brings_no_more_than_there_are(bench):
    worker = bench(RABBITMQ, slots=2)
    waiting = worker.arrive(seconds_ago=3, worker_pid=None)

    assert worker.look() == (2, [2])
    assert not waiting.given_back


def test_a_paused_queue_stays_paused_whatever_happens_to_the_credit(bench):
    worker = bench(RABBITMQ, slots=1)
    worker.tasks.cancel_by_queue("mail")
    old = worker.arrive(seconds_ago=601)
    assert worker.look() == (0, [])

    worker.tasks.consume()  # as Celery does when a queue is resumed
    assert worker.tasks.channel.consumers == {}
    worker.end(old)
    worker.look()

    assert [queue for queue, _ in worker.tasks.channel.consumers.values()] == ["tasks"]


def test_with_autoscale_the_most_children_count(bench):
    worker = bench(RABBITMQ, slots=1)
    worker.consumer.controller.autoscaler = SimpleNamespace(max_concurrency=3)

    assert worker.look()[0] == 3


def test_a_broker_whose_copies_do_no_harm_is_left_to_celery(bench):
    worker = bench(REDIS)
    old = worker.arrive(seconds_ago=10_000)

    assert worker.look()[0] is None
    assert not old.acknowledged


def test_a_worker_that_stops_consumes_nothing_again(bench):
    worker = bench(RABBITMQ)
    worker.consumer.blueprint.state = RUN + 1
    worker.tasks.cancel()

    assert worker.look() == (4, [])
