"""Publishing to queues that no type names any more."""

from kombu import Connection

from app.messaging import Hint, Publisher
from app.messaging import publisher as module
from app.models import new_id
from tests.services.broker import Broker


def test_a_task_whose_queue_is_no_longer_declared_gets_its_hint_there(settings, broker_url, monkeypatch):
    monkeypatch.setattr(module.celery_app, "connection_for_write", lambda **options: Connection(broker_url, **options))
    hint = Hint(type="reverse_string", ids=(new_id(),), queue="renamed_since", priority="normal", time_limit=60)
    publisher = Publisher()

    publisher.publish(hint)

    publisher.close()
    assert Broker(broker_url).queue("renamed_since").ready == 1
