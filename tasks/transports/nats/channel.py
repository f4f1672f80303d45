"""A channel: AMQP's words said to JetStream. Runs on its caller's thread; what waits for NATS runs on the loop's."""

import logging
from collections.abc import Mapping
from typing import Any

from amqp.exceptions import NotFound
from kombu.transport import virtual
from kombu.utils.uuid import uuid
from nats.aio.msg import Msg

from tasks.transports.nats import loop, wire
from tasks.transports.nats.bindings import Binding
from tasks.transports.nats.client import ACK, NAK, TERMINATE, Held
from tasks.transports.nats.credit import Credit
from tasks.transports.nats.dead_letters import REJECTED, TOO_OFTEN
from tasks.transports.nats.errors import NatsUnavailable, QueueRefused
from tasks.transports.nats.puller import Puller, take_one
from tasks.transports.nats.qos import QoS
from tasks.transports.nats.streams import WorkQueue
from tasks.transports.nats.transient import TransientQueue, to_exchange, to_queue

log = logging.getLogger(__name__)

Declared = tuple[str, int, int]


def is_transient(*, durable: bool, exclusive: bool, auto_delete: bool, arguments: Mapping[str, Any]) -> bool:
    """Whether a queue is to go with the connection that declares it; x-expires says so as well."""
    return not durable or exclusive or auto_delete or "x-expires" in arguments


class Channel(virtual.Channel):  # type: ignore[misc]  # kombu has no types
    """Works with its transport's client; several channels share one connection."""

    QoS = QoS

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._credit = Credit()
        self._pullers: dict[str, Puller] = {}
        self._queues_of: dict[str, WorkQueue] = {}
        """By delivery tag: where what we hold came from."""
        self._settled_at_once: set[str] = set()

    # --- queues and bindings -----------------------------------------------------------------------------------------

    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Any:
        """Raises kombu's ChannelError (404) for a passive declaration of a queue that is not there."""
        name, arguments = queue or f"amq.gen-{uuid()}", arguments or {}
        if passive:
            return virtual.base.queue_declare_ok_t(name, self._count(name), 0)
        if is_transient(durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments):
            self._ask(self._declare_transient(name, auto_delete=auto_delete))
        else:
            self._ask(self.connection.streams.declare(name, arguments))
        return virtual.base.queue_declare_ok_t(name, self._size(name), 0)

    async def _declare_transient(self, name: str, *, auto_delete: bool) -> None:
        transients = self.connection.transients
        if name not in transients:
            transients[name] = TransientQueue(self.connection.nats, name, auto_delete=auto_delete)
            await transients[name].declare()

    def _count(self, queue: str) -> int:
        if queue in self.connection.transients:
            return len(self.connection.transients[queue].kept)
        found = self._ask(self.connection.streams.find(queue, afresh=True))
        if found is None:
            raise NotFound(f"no queue {queue!r}", (50, 10), "Channel.queue_declare")
        return int(self._ask(self.connection.streams.ready(found)))

    def _size(self, queue: str) -> int:
        try:
            return self._count(queue)
        except NotFound:
            return 0

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return queue in self.connection.transients or self._ask(self.connection.streams.find(queue)) is not None

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        self._ask(self._bind(queue, exchange or "amq.direct", routing_key or ""))

    async def _bind(self, queue: str, exchange: str, routing_key: str) -> None:
        kind = self.typeof(exchange).type
        if queue in self.connection.transients:
            await self.connection.transients[queue].bind(exchange, kind, routing_key)
        else:
            await self.connection.bindings.add(Binding(exchange, kind, queue, routing_key))

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any
    ) -> None:
        self._ask(self._unbind(queue, exchange or "amq.direct", routing_key or ""))

    async def _unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        if queue in self.connection.transients:
            await self.connection.transients[queue].unbind(exchange, routing_key)
        else:
            await self.connection.bindings.remove(Binding(exchange, self.typeof(exchange).type, queue, routing_key))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        if not (if_empty and self._size(queue)):
            self._ask(self._delete_queue(queue))

    async def _delete_queue(self, queue: str) -> None:
        transient = self.connection.transients.pop(queue, None)
        if transient is not None:
            await transient.delete()
            return
        found = await self.connection.streams.find(queue)
        if found is not None:
            await self.connection.streams.delete(found)
        for binding in await self.connection.bindings.of_queue(queue):
            await self.connection.bindings.remove(binding)

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        self._ask(self.connection.bindings.remove_exchange(exchange))
        self.state.exchanges.pop(exchange, None)

    def _purge(self, queue: str) -> int:
        if queue in self.connection.transients:
            kept = self.connection.transients[queue].kept
            count = len(kept)
            kept.clear()
            return count
        found = self._ask(self.connection.streams.find(queue))
        return int(self._ask(self.connection.streams.purge(found))) if found else 0

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
            self._pullers[queue] = Puller(client, streams, found, self._credit, self._arrived(found))
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
        kept = self.connection.transients[queue].kept
        return wire.decode(kept.popleft(), queue=queue, tag=uuid(), deliveries=1) if kept else None

    async def _take(self, name: str) -> wire.Message | None:
        queue = await self.connection.streams.find(name)
        message = await take_one(self.connection.nats, queue) if queue else None
        if queue is None or message is None:
            return None
        self._credit.take(1)
        tag = self._hold(queue, message)
        return wire.decode(message.data, queue=name, tag=tag, deliveries=message.metadata.num_delivered)

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
        self.connection.nats.held[tag] = Held(message.reply, message.data, message.metadata.num_delivered)
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

    def discard(self, tag: str) -> None:
        """To the dead letters if its queue names any, else away; from any thread, without waiting."""
        queue = self._queues_of.get(tag)
        if queue is None or self.connection is None or self.connection.nats.fault is not None:
            return
        if "x-dead-letter-exchange" in queue.arguments:
            loop.soon(self._bury_soon, tag)
        else:
            self.settle(tag, TERMINATE)

    def _bury_soon(self, tag: str) -> None:
        if self.connection is not None and self.connection.nats.fault is None:
            self.connection.nats.spawn(self._publish_dead_letter(tag, REJECTED))

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

    def _ask(self, coroutine: Any) -> Any:
        return self.connection.ask(coroutine)
