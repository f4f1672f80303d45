"""Durable queues: order, acknowledgements, redelivery, dead letters, counting."""

import json
import subprocess
import sys
import threading
import time

import pytest
from amqp.exceptions import NotFound
from kombu import Consumer, Exchange, Producer, Queue

from tests.conformance.nats.conftest import GRAVES, QUEUE
from tests.support.servers.databases import ROOT
from tests.support.servers.waiting import wait_for

HOLD = """
import sys, time
import tasks
from kombu import Connection, Consumer
from tests.conformance.nats.conftest import QUEUE

def hold(body, message):
    print(body, flush=True)
    time.sleep(60)

with Connection(sys.argv[1]) as connection, Consumer(connection.channel(), [QUEUE], callbacks=[hold]):
    connection.drain_events(timeout=30)
"""


def _publish(channel, *bodies, priority: int = 0) -> None:
    for body in bodies:
        Producer(channel).publish(body, exchange="work", routing_key="work", priority=priority)


def _drain(connection, callback, *, prefetch: int = 0, until, timeout: float = 10.0) -> None:
    channel = connection.channel()
    channel.basic_qos(0, prefetch, False)
    deadline = time.monotonic() + timeout
    with Consumer(channel, [QUEUE], callbacks=[callback]):
        while not until() and time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.1)
            except TimeoutError:
                continue
    assert until()


def _ready(channel, name: str = "work") -> int:
    return channel.queue_declare(name, passive=True).message_count


def test_messages_arrive_most_urgent_first_and_in_order(channel, connect):
    for number in range(40):
        _publish(channel, number, priority=number % 4)
    assert _ready(channel) == 40
    got = []

    def take(body, message):
        got.append((message.properties["priority"], body))
        message.ack()

    _drain(connect(), take, prefetch=1, until=lambda: len(got) == 40)

    assert got == sorted(got, key=lambda each: (-each[0], each[1]))
    assert _ready(channel) == 0


def test_prefetch_bounds_what_a_consumer_holds(channel, connect):
    _publish(channel, *range(10))
    got = []

    _drain(connect(), lambda body, message: got.append(message), prefetch=3, until=lambda: len(got) == 3)

    assert len(got) == 3


def test_a_message_that_arrives_at_an_idle_consumer_is_there_at_once(channel, connect):
    waits = []

    def take(body, message):
        waits.append(time.time() - body)
        message.ack()

    connection = connect()
    with Consumer(connection.channel(), [QUEUE], callbacks=[take]):
        for _ in range(10):
            threading.Timer(0.05, lambda: _publish(channel, time.time())).start()
            connection.drain_events(timeout=5)

    assert sorted(waits)[4] < 0.2


def test_two_consumers_share_a_queue_and_each_message_goes_to_one(channel, connect):
    _publish(channel, *range(50))
    got = []

    def take(body, message):
        got.append(body)
        message.ack()

    first, second = connect(), connect()
    with Consumer(first.channel(), [QUEUE], callbacks=[take]), Consumer(second.channel(), [QUEUE], callbacks=[take]):
        deadline = time.monotonic() + 10
        while len(got) < 50 and time.monotonic() < deadline:
            for connection in (first, second):
                try:
                    connection.drain_events(timeout=0.05)
                except TimeoutError:
                    continue

    assert sorted(got) == list(range(50))


def test_what_takes_longer_than_the_server_waits_is_renewed_and_not_delivered_again(channel, connect):
    _publish(channel, "long")
    got = []

    def take(body, message):
        got.append(body)
        time.sleep(3)  # three times ack_wait
        message.ack()

    connection = connect()
    _drain(connection, take, until=lambda: got)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.3)

    assert got == ["long"]
    assert _ready(channel) == 0


def test_what_a_lost_connection_held_is_delivered_again(channel, connect):
    _publish(channel, "held")
    taken, again = [], []
    lost = connect()
    _drain(lost, lambda body, message: taken.append(message), until=lambda: taken)

    lost.close()  # hands it back
    _drain(connect(), lambda body, message: (again.append(message), message.ack()), until=lambda: again)

    assert [message.payload for message in again] == ["held"]


def test_a_message_that_kills_its_consumers_becomes_a_dead_letter(url, channel, connect):
    _publish(channel, "poison")
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", HOLD, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "poison\n"
        process.kill()
        process.communicate()

    connection = connect()
    with Consumer(connection.channel(), [QUEUE], callbacks=[lambda *_: pytest.fail("delivered a fourth time")]):
        deadline = time.monotonic() + 20
        while not _ready(channel, "graves") and time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue

    letter = channel.basic_get("graves", no_ack=True)
    assert (letter.payload, letter.headers["x-death"][0]["reason"]) == ("poison", "delivery_limit")


def test_a_rejected_message_becomes_a_dead_letter_and_a_requeued_one_comes_back(channel, connect):
    _publish(channel, "again", "away")
    got = []

    def take(body, message):
        got.append(body)
        if body == "away":
            message.reject()
        elif got.count("again") == 1:
            message.requeue()
        else:
            message.ack()

    _drain(connect(), take, until=lambda: len(got) == 3)
    wait_for(lambda: _ready(channel, "graves") == 1, what="the dead letter")

    assert channel.basic_get("graves", no_ack=True).headers["x-death"][0]["reason"] == "rejected"
    assert sorted(got) == ["again", "again", "away"]


def test_an_expired_message_becomes_a_dead_letter_and_reaches_nobody(channel, connect):
    Producer(channel).publish("stale", exchange="work", routing_key="work", expiration=0.2)
    Producer(channel).publish("fresh", exchange="work", routing_key="work")
    time.sleep(0.5)
    got = []

    _drain(connect(), lambda body, message: (got.append(body), message.ack()), until=lambda: got)

    wait_for(lambda: _ready(channel, "graves") == 1, what="the dead letter")
    letter = channel.basic_get("graves", no_ack=True)
    assert (got, letter.payload, letter.headers["x-death"][0]["reason"]) == (["fresh"], "stale", "expired")


@pytest.mark.parametrize(
    ("options", "is_there"),
    [({"expires": 10}, False), ({"max_priority": 10}, True), ({"durable": False}, False)],
)
def test_the_words_of_kombus_queue_are_understood(options, is_there, connect):
    connection = connect()
    Queue("words", Exchange("words"), routing_key="words", **options)(connection.default_channel).declare()

    found = connection.transport.ask(connection.transport.streams.find("words", afresh=True))

    assert (found is not None) is is_there
    if found is not None:
        assert found.levels == 11


def test_a_dead_letter_whose_exchange_has_no_queue_is_kept_all_the_same(connect):
    channel = connect().channel()
    QUEUE(channel).declare()
    _publish(channel, "lonely")

    channel.basic_get("work").reject()

    wait_for(lambda: channel._has_queue("dead-letters") and _ready(channel, "dead-letters") == 1)


@pytest.mark.parametrize(
    "attempt", range(20)
)  # a server that finds only pulls of an inbox that has gone errs by chance
def test_a_cancelled_consumer_hands_back_what_it_was_not_given(channel, connect, attempt):
    _publish(channel, *range(20))
    connection, got = connect(), []
    consumer = Consumer(
        connection.channel(), [QUEUE], callbacks=[lambda body, message: (got.append(body), message.ack())]
    )
    consumer.consume()
    connection.drain_events(timeout=5)

    consumer.cancel()

    rest = []
    _drain(
        connect(), lambda body, message: (rest.append(body), message.ack()), until=lambda: len(rest) + len(got) == 20
    )
    assert sorted(got + rest) == list(range(20))


def test_purging_says_how_many_messages_waited(channel):
    _publish(channel, *range(7), priority=2)

    assert channel.queue_purge("work") == 7
    assert _ready(channel) == 0


def test_asking_for_a_queue_that_is_not_there_is_the_404_of_amqp(channel):
    with pytest.raises(NotFound):
        channel.queue_declare("nowhere", passive=True)


def test_a_queue_may_be_declared_again_with_other_arguments(channel, connect):
    narrow = Queue("narrow", QUEUE.exchange, routing_key="narrow")
    narrow(channel).declare()
    wide = Queue("narrow", QUEUE.exchange, routing_key="narrow", queue_arguments={"x-max-priority": 2})
    wide(connect().channel()).declare()

    other = connect().channel()
    for priority in (0, 2):
        Producer(other).publish(priority, exchange="work", routing_key="narrow", priority=priority)

    assert [other.basic_get("narrow", no_ack=True).payload for _ in range(2)] == [2, 0]


def test_a_bounded_queue_drops_the_oldest(channel):
    bounded = Queue("bounded", QUEUE.exchange, routing_key="bounded", queue_arguments={"x-max-length": 3})
    bounded(channel).declare()
    Producer(channel).publish("0", exchange="", routing_key="bounded")
    for number in range(1, 6):
        Producer(channel).publish(str(number), exchange="", routing_key="bounded")

    assert [channel.basic_get("bounded", no_ack=True).payload for _ in range(3)] == ["3", "4", "5"]


def test_a_deleted_queue_is_gone_with_its_bindings(channel, connect):
    channel.queue_delete("work")

    with pytest.raises(NotFound):
        channel.queue_declare("work", passive=True)
    Producer(connect().channel()).publish("nobody", exchange="work", routing_key="work")  # as AMQP: dropped


def test_a_name_may_hold_any_letters(channel):
    queue = Queue("über den/Wolken.*>", Exchange("ex.change > *"), routing_key="a key.with*all")
    queue(channel).declare()

    Producer(channel).publish(json.dumps("here"), exchange="ex.change > *", routing_key="a key.with*all")

    assert channel.basic_get(queue.name, no_ack=True) is not None
    assert GRAVES.name == "graves"
