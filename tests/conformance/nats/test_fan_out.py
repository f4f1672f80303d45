"""Exchanges that reach several queues, durable and transient."""

import pytest
from kombu import Consumer, Exchange, Producer, Queue

from tests.support.servers.waiting import wait_for


def _take_all(connection, queues, count: int) -> list:
    got = []
    with Consumer(connection.channel(), queues, callbacks=[lambda body, message: got.append(body)], no_ack=True):
        while len(got) < count:
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
    return got


@pytest.mark.parametrize("kind", ["fanout", "topic"])
def test_every_transient_queue_hears_an_event(kind, connect):
    exchange = Exchange("news", type=kind)
    listeners = []
    for number in range(2):
        connection = connect()
        queue = Queue(f"listener-{number}", exchange, routing_key="#", auto_delete=True, durable=False)
        queue = queue(connection.default_channel)
        queue.declare()
        listeners.append((connection, queue))

    producer = Producer(connect().channel())
    for number in range(3):
        producer.publish(number, exchange=exchange, routing_key="task.sent", declare=[exchange])

    for connection, queue in listeners:
        wait_for(lambda name=queue.name, at=connection: at.default_channel.queue_declare(name, passive=True)[1] == 3)
        assert [connection.default_channel.basic_get(queue.name, no_ack=True).payload for _ in range(3)] == [0, 1, 2]


def test_a_durable_queue_keeps_events_while_nobody_reads(connect):
    exchange = Exchange("task.events", type="topic")
    sink = Queue("sink", exchange, routing_key="task.#")
    sink(connect().channel()).declare()

    producer = Producer(connect().channel())
    producer.publish("kept", exchange=exchange, routing_key="task.completed", declare=[exchange])
    producer.publish("not ours", exchange=exchange, routing_key="worker.online", declare=[exchange])

    assert _take_all(connect(), [sink], 1) == ["kept"]


def test_a_binding_made_elsewhere_is_followed_by_who_publishes_already(connect):
    exchange = Exchange("task.events", type="topic")
    producer = Producer(connect().channel())
    producer.publish("before", exchange=exchange, routing_key="task.x", declare=[exchange])
    sink = Queue("late", exchange, routing_key="#")
    channel = connect().channel()
    sink(channel).declare()

    def arrives() -> bool:
        producer.publish("after", exchange=exchange, routing_key="task.x")
        return channel.queue_declare("late", passive=True).message_count > 0

    wait_for(arrives)


def test_namespaces_do_not_hear_each_other(nats_server, connect):
    from kombu import Connection

    queue = Queue("same", Exchange("same", type="direct"), routing_key="same")
    ours = connect().channel()
    queue(ours).declare()
    with Connection(nats_server.new_url()) as other:
        queue(other.default_channel).declare()
        Producer(other.default_channel).publish("theirs", exchange="same", routing_key="same")

    assert ours.queue_declare("same", passive=True).message_count == 0
