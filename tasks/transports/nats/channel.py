"""A channel: AMQP's words said to JetStream. Runs on its caller's thread; what waits for NATS runs on the loop's."""

import logging
from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import NotFound
from kombu.utils.uuid import uuid
from nats.aio.msg import Msg

from tasks.transports.nats import loop, wire
from tasks.transports.nats.client import ACK, NAK, TERMINATE, Held
from tasks.transports.nats.credit import Credit
from tasks.transports.nats.dead_letters import EXPIRED, REJECTED, TOO_OFTEN
from tasks.transports.nats.errors import NatsUnavailable, QueueRefused
from tasks.transports.nats.puller import Puller, take_one
from tasks.transports.nats.qos import QoS
from tasks.transports.nats.queues import QueueChannel
from tasks.transports.nats.streams import WorkQueue
from tasks.transports.nats.transient import to_exchange, to_queue

log = logging.getLogger(__name__)


class Channel(QueueChannel):
    """Works with its transport's client; several channels share one connection."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._credit = Credit()
        self._pullers: dict[str, Puller] = {}
        self._queues_of: dict[str, WorkQueue] = {}
        """By delivery tag: where what we hold came from."""
        self._settled_at_once: set[str] = set()

    # --- publishing --------------------------------------------------------------------------------------------------

    def basic_publish(self, message: wire.Message, exchange: str, routing_key: str, **_: Any) -> None:
        """Returns once every durable queue has the message. Raises NatsUnavailable or QueueRefused."""
        self._inplace_augment_message(message, exchange, routing_key)
        data, priority = wire.encode(message), self._get_message_priority(message)
        self._ask(
            self._route(
                exchange or "", routing_key or "", data, priority=priority, tag=message["properties"]["delivery_tag"]
            )
        )

    async def _route(self, exchange: str, key: str, data: bytes, *, priority: int, tag: str) -> None:
        transport = self.connection
        namespace = transport.nats.address.namespace
        if exchange:
            await transport.nats.send(to_exchange(namespace, exchange, key), data)
            names = await transport.bindings.queues(exchange, key)
        else:
            names = [key]
        for name in names:
            queue = await transport.streams.find(name)
            if queue is not None:
                await transport.streams.put(queue, priority, data, message_id=tag)
            elif not exchange:
                await transport.nats.send(to_queue(namespace, name), data)

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str]:
        """Text as it is, so that people can read it in the stream; bytes in base64."""
        if isinstance(body, bytes):
            return self.codecs["base64"].encode(body), "base64"
        return body, "utf-8"

    # --- consuming ---------------------------------------------------------------------------------------------------

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """The count holds for the channel as a whole."""
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        loop.soon(self._credit.set_limit, prefetch_count)

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> None:
        """Ask for the messages of a queue. Raises NotFound for one that is not declared."""
        transient = self.connection.transients.get(queue)
        found: WorkQueue | None = None if transient else self._ask(self.connection.streams.find(queue))
        if transient is None and found is None:
            raise NotFound(f"no queue {queue!r}", (60, 20), "Channel.basic_consume")
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        if no_ack:
            self._settled_at_once.add(queue)
        if found is None:
            self.connection.listen(self, transient)
        else:
            client, streams = self.connection.nats, self.connection.streams
            self._pullers[queue] = Puller(
                client, streams, self.connection.bindings, found, self._credit, self._arrived(found)
            )
            loop.soon(self._pullers[queue].start)

    def basic_cancel(self, consumer_tag: str) -> None:
        """What has arrived and was not handed over goes back."""
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue is None or self.connection is None:
            return
        self._settled_at_once.discard(queue)
        puller = self._pullers.pop(queue, None)
        if puller is not None and self.connection.nats.fault is None:
            self._ask(puller.stop())
        self.connection.forget(self, queue)
        transient = self.connection.transients.get(queue)
        if transient is not None and transient.auto_delete and self.connection.nats.fault is None:
            self._ask(self._delete_queue(queue))

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        """The most urgent message, or None."""
        raw = self._take_transient(queue) if queue in self.connection.transients else self._ask(self._take(queue))
        if raw is None:
            return None
        message = self.Message(raw, channel=self)
        if no_ack:
            self.settle(message.delivery_tag, ACK)
        else:
            self.qos.append(message, message.delivery_tag)
        return message

    def _take_transient(self, queue: str) -> wire.Message | None:
        taken: wire.Message | None = self.connection.transients[queue].kept.take(queue, uuid())
        return taken

    async def _take(self, name: str) -> wire.Message | None:
        transport = self.connection
        await transport.nats.settled()  # what was handed back before may be asked for
        while (queue := await transport.streams.find(name)) is not None:
            taken = await take_one(transport.nats, transport.streams, transport.bindings, queue)
            if taken is None:
                return None
            self._credit.take(1)
            tag = self._hold(queue, taken)
            message = wire.decode(taken.data, queue=name, tag=tag, deliveries=taken.metadata.num_delivered)
            if not self.drops_expired(message):
                return message
        return None

    def _arrived(self, queue: WorkQueue) -> Any:
        """What the puller calls, on the loop's thread, with each message of this queue."""

        def arrived(message: Msg) -> None:
            if message.metadata.num_delivered > self.connection.nats.options.max_deliveries:
                tag = self._hold(queue, message)
                self.connection.nats.spawn(self._publish_dead_letter(tag, TOO_OFTEN))
            else:
                self.connection.push(self, queue.name, self._hold(queue, message))

        return arrived

    def _hold(self, queue: WorkQueue, message: Msg) -> str:
        tag = uuid()
        self._queues_of[tag] = queue
        about = message.metadata
        self.connection.nats.held[tag] = Held(message.reply, message.data, about.num_delivered, about.timestamp)
        return tag

    def settles_at_once(self, queue: str) -> bool:
        """Whether its consumer asked for no acknowledgements."""
        return queue in self._settled_at_once

    # --- settling ----------------------------------------------------------------------------------------------------

    def settle(self, tag: str, how: bytes) -> None:
        """Acknowledge or hand back; from any thread, without waiting. A message that is not held is passed over."""
        if self._queues_of.pop(tag, None) is not None and self.connection is not None:
            self.connection.nats.settle(tag, how)
            loop.soon(self._credit.give)

    def discard(self, tag: str, *, reason: str = REJECTED) -> None:
        """To the dead letters if its queue names any, else away; from any thread, without waiting."""
        queue = self._queues_of.get(tag)
        if queue is None or self.connection is None or self.connection.nats.fault is not None:
            return
        if "x-dead-letter-exchange" in queue.arguments:
            loop.soon(self._bury_soon, tag, reason)
        else:
            self.settle(tag, TERMINATE)

    def drops_expired(self, message: wire.Message) -> bool:
        """Discard a message that is older than its publisher wanted it to be; False for any other."""
        tag = message["properties"]["delivery_tag"]
        held = self.connection.nats.held.get(tag)
        if held is None or not wire.is_expired(message, age=datetime.now(UTC) - held.published_at):
            return False
        self.discard(tag, reason=EXPIRED)
        return True

    def _bury_soon(self, tag: str, reason: str) -> None:
        if self.connection is not None and self.connection.nats.fault is None:
            self.connection.nats.spawn(self._publish_dead_letter(tag, reason))

    async def _publish_dead_letter(self, tag: str, reason: str) -> None:
        """Held until its copy is safe; when that fails it is delivered again."""
        queue, held = self._queues_of.get(tag), self.connection.nats.held.get(tag)
        if queue is None or held is None:
            return
        try:
            await self.connection.dead_letters.keep(
                queue,
                held.data,
                reason=reason,
                deliveries=held.deliveries,
                message_id=f"dead {queue.stream} {held.place}",
            )
        except (NatsUnavailable, QueueRefused) as error:
            log.warning("a message of queue %s could not be kept as a dead letter: %s", queue.name, error)
            self.settle(tag, NAK)
            return
        log.warning("a message of queue %s is a dead letter: %s", queue.name, reason)
        self.settle(tag, TERMINATE)

    def close(self) -> None:
        """Cancel the consumers, and hand back everything that is held."""
        was_open, transport = not self.closed, self.connection
        super().close()
        if was_open and transport is not None:
            for tag in list(self._queues_of):
                self._queues_of.pop(tag, None)
                transport.nats.settle(tag, NAK)
