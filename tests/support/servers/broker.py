"""The broker as a test sees it: what waits in a queue, purging it, and hints written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from celery import Celery
from kombu import Connection, Queue

from tasks.brokers import broker_of
from tests.support.servers.waiting import wait_for

SERVICE_QUEUES = ("tasks", "tasks.dead")


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """What a passive declare says; exact at once, unlike rabbitmqctl list_queues."""

    ready: int
    consumers: int


class Broker:
    """One virtual host, database or namespace."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = broker_of(url)

    def connect(self) -> Connection:
        """A connection as the service has it."""
        return Connection(self.url, transport_options=dict(self.kind.transport_options))

    def queue(self, name: str = "tasks") -> QueueState:
        """How many messages wait, and how many consumers there are; the queue must exist."""
        with self.connect() as connection:
            answer = connection.default_channel.queue_declare(name, passive=True)
        return QueueState(ready=answer.message_count, consumers=answer.consumer_count)

    def ready(self, name: str = "tasks") -> int:
        """How many messages wait; none in a queue that is not there (in Redis an empty one is not)."""
        with self.connect() as connection:
            try:
                return int(connection.default_channel.queue_declare(name, passive=True).message_count)
            except connection.channel_errors:
                return 0

    def purge(self, name: str = "tasks") -> int:
        """Throw away what waits in a queue; return how many messages that were."""
        with self.connect() as connection:
            return connection.default_channel.queue_purge(name)

    def take_hints(self, name: str = "tasks") -> set[str]:
        """Take all hints that wait, and run none; return the ids of their tasks."""
        ids: set[str] = set()
        with self.connect() as connection:
            queue = Queue(name, channel=connection.default_channel)
            while (message := queue.get(no_ack=True, accept=["json"])) is not None:
                ids.update(message.payload[0])
        return ids

    def lose_hints_of(self, ids: Sequence[str]) -> None:
        """Throw away the hints of these tasks; the last ones may still be on their way from the publisher."""
        lost: set[str] = set()

        def all_are_lost() -> bool:
            lost.update(self.take_hints())
            return lost >= set(ids)

        wait_for(all_are_lost, timeout=10)

    def delete_queues(self) -> None:
        """Delete what the service keeps there, for a broker whose virtual hosts the tests do not make themselves."""
        with self.connect() as connection:
            for name in SERVICE_QUEUES:
                connection.default_channel.queue_delete(name)

    def publish_hint(self, type_: str, ids: Sequence[str], *, copies: int = 1) -> None:
        """Send hints as the dispatcher does, all copies at once."""
        options = dict(self.kind.transport_options)
        with (
            Celery(broker=self.url, set_as_current=False) as app,
            app.connection_for_write(transport_options=options) as connection,
        ):
            producer = app.amqp.Producer(connection, auto_declare=False)
            for _ in range(copies):
                app.send_task(
                    type_,
                    args=list(ids),
                    task_id=ids[0] if len(ids) == 1 else str(uuid4()),
                    exchange="tasks",
                    routing_key="tasks",
                    priority=1,
                    producer=producer,
                    ignore_result=True,
                )
