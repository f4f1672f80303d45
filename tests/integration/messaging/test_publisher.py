"""Publishing to queues that no type names any more."""

from celery.events.receiver import EventReceiver
from kombu import Connection

from app.messaging import Hint, Publisher
from app.messaging import publisher as module
from app.models import new_id
from tests.support.servers.broker import Broker


def test_a_task_whose_queue_is_no_longer_declared_gets_its_hint_there(settings, broker_url, monkeypatch):
    monkeypatch.setattr(module.celery_app, "connection_for_write", lambda **options: Connection(broker_url, **options))
    hint = Hint(type="reverse_string", ids=(new_id(),), queue="renamed_since", priority="normal", time_limit=60)
    publisher = Publisher()

    publisher.publish(hint)

    publisher.close()
    assert Broker(broker_url).queue("renamed_since").ready == 1


def test_flower_hears_of_a_hint_that_was_sent_on_a_connection_that_confirms_nothing(settings, broker_url, monkeypatch):
    monkeypatch.setattr(module.celery_app, "connection_for_write", lambda **options: Connection(broker_url, **options))
    hint = Hint(type="reverse_string", ids=(new_id(),), queue="tasks", priority="normal", time_limit=60)
    publisher, heard = Publisher(), []
    with Connection(broker_url) as connection:
        receiver = EventReceiver(connection, handlers={"*": heard.append}, app=module.celery_app)
        with receiver.consumer_context(wakeup=False) as (listening, *_):
            publisher.publish(hint)
            listening.drain_events(timeout=10)
    publisher.close()

    assert [(event["type"], event["uuid"], event["queue"]) for event in heard] == [
        ("task-sent", str(hint.ids[0]), "tasks")
    ]


def test_a_hint_is_sent_although_flower_cannot_be_told(settings, broker_url, monkeypatch):
    def connect(**options):
        if options.get("transport_options", {}).get("confirm_publish") is False:
            raise ConnectionRefusedError("too many connections")
        return Connection(broker_url, **options)

    monkeypatch.setattr(module.celery_app, "connection_for_write", connect)
    hint = Hint(type="reverse_string", ids=(new_id(),), queue="tasks", priority="normal", time_limit=60)
    publisher = Publisher()

    publisher.publish(hint)
    publisher.publish(hint)

    publisher.close()
    assert Broker(broker_url).queue("tasks").ready == 2
