"""Where messages go that were rejected or delivered too often."""

from tasks.transports.nats import wire
from tasks.transports.nats.bindings import Bindings
from tasks.transports.nats.client import Client
from tasks.transports.nats.streams import DEAD_LETTER_ARGUMENTS, Streams, WorkQueue

REJECTED, TOO_OFTEN, EXPIRED = "rejected", "delivery_limit", "expired"


class DeadLetters:
    """Copies a message into the queues behind its queue's dead-letter exchange."""

    def __init__(self, client: Client, streams: Streams, bindings: Bindings) -> None:
        self._client, self._streams, self._bindings = client, streams, bindings

    async def keep(self, queue: WorkQueue, data: bytes, *, reason: str, deliveries: int, message_id: str) -> None:
        """Publish with confirmation, so that the original may be ended afterwards. Raises NatsUnavailable."""
        letter = wire.dead(data, queue=queue.name, reason=reason, deliveries=deliveries)
        for target in await self._targets(queue):
            await self._streams.put(target, 0, letter, message_id=message_id)

    async def _targets(self, queue: WorkQueue) -> list[WorkQueue]:
        """A missing exchange loses nothing, unlike in RabbitMQ: then there is a queue for them all."""
        exchange = queue.arguments.get("x-dead-letter-exchange")
        key = queue.arguments.get("x-dead-letter-routing-key") or queue.name
        names = await self._bindings.queues(str(exchange), str(key)) if exchange else []
        found = [target for name in names if (target := await self._streams.find(name)) is not None]
        return found or [await self._streams.declare(self._client.options.dead_letter_queue, DEAD_LETTER_ARGUMENTS)]
