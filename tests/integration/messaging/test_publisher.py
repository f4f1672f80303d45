"""Publishing hints to a real broker: to any queue, many at once, and whatever happens to one of them."""

import threading

import pytest
from amqp.exceptions import ChannelError
from celery.events.receiver import EventReceiver
from kombu import Connection, Queue
from msgspec.structs import replace

from app.messaging import Hint, Publisher, publish_each
from app.messaging import publisher as module
from app.messaging.publisher import AT_ONCE
from app.models import new_id
from tests.support.servers.broker import Broker


@pytest.fixture
def publisher(settings, broker_url, monkeypatch):
    monkeypatch.setattr(module.celery_app, "connection_for_write", lambda **options: Connection(broker_url, **options))
    publisher = Publisher()
    yield publisher
    publisher.close()


def hint(queue: str = "tasks") -> Hint:
    return Hint(type="reverse_string", ids=(new_id(),), queue=queue, priority="normal", time_limit=60)


def test_a_task_whose_queue_is_no_longer_declared_gets_its_hint_there(publisher, broker_url):
    publisher.publish(hint("renamed_since"))

    assert Broker(broker_url).queue("renamed_since").ready == 1


def test_flower_hears_of_a_hint_that_was_sent_on_a_connection_that_confirms_nothing(publisher, broker_url):
    sent, heard = hint(), []
    with Connection(broker_url) as connection:
        receiver = EventReceiver(connection, handlers={"*": heard.append}, app=module.celery_app)
        with receiver.consumer_context(wakeup=False) as (listening, *_):
            publisher.publish(sent)
            listening.drain_events(timeout=10)

    assert [(event["type"], event["uuid"], event["queue"]) for event in heard] == [
        ("task-sent", str(sent.ids[0]), "tasks")
    ]


def test_a_hint_is_sent_although_flower_cannot_be_told(settings, broker_url, monkeypatch):
    publisher = Publisher()
    # Celery makes both with the first task that a process sends, and asks for a connection for each.
    assert module.celery_app.amqp.send_task_message
    assert module.celery_app.producer_pool
    connections, here = iter([Connection(broker_url)]), threading.get_ident()

    def connect(**_):
        # The publisher thread of an earlier test of this process may still be there, and may want a connection.
        connection = next(connections, None) if threading.get_ident() == here else None
        if connection is None:
            raise ConnectionRefusedError("too many connections")
        return connection

    monkeypatch.setattr(module.celery_app, "connection_for_write", connect)

    publisher.publish(hint())
    publisher.publish(hint())

    publisher.close()
    assert Broker(broker_url).queue("tasks").ready == 2


def test_more_hints_than_may_be_under_way_are_published_together(publisher, broker_url):
    left, fault = publisher.publish_together([hint() for _ in range(2 * AT_ONCE + 10)])

    assert (left, fault) == ([], None)
    assert Broker(broker_url).queue("tasks").ready == 2 * AT_ONCE + 10


def test_a_queue_with_other_arguments_keeps_only_its_own_hints_from_being_published(publisher, broker_url):
    """RabbitMQ closes the channel for it, and all that was under way there with it."""
    with Connection(broker_url) as connection:
        Queue("odd", queue_arguments={"x-max-length": 7}, durable=True)(connection.default_channel).declare()
    hints = [hint(), hint("odd"), hint(), hint("odd"), hint()]

    published = publish_each(publisher, hints)

    assert published.unsent == (hints[1], hints[3])
    assert isinstance(published.error, ChannelError)
    assert Broker(broker_url).queue("tasks").ready >= 3


def test_a_hint_that_cannot_be_sent_holds_up_none(publisher, broker_url):
    hints = [hint(), hint(), hint(), hint()]
    hints[1] = replace(hints[1], priority="unheard of")

    published = publish_each(publisher, hints)

    assert (published.unsent, published.error) == ((hints[1],), None)
    assert Broker(broker_url).queue("tasks").ready == 3


def test_a_connection_that_breaks_leaves_what_was_not_confirmed(publisher, broker_url, monkeypatch):
    publisher.publish(hint())
    hints = [hint(), hint(), hint()]
    send, sent = publisher._send_hint, []

    def break_before_the_last(each: Hint) -> int:
        if len(sent) == 2:
            publisher._confirmations.wait(5)
            publisher._connection.connection.transport.sock.close()
        sent.append(each)
        return send(each)

    monkeypatch.setattr(publisher, "_send_hint", break_before_the_last)
    published = publish_each(publisher, hints)

    assert published.unsent == (hints[2],)
    assert isinstance(published.error, publisher.errors)
    assert Broker(broker_url).queue("tasks").ready == 3
