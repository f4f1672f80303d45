"""A channel's queues and bindings: declared, counted, bound, emptied and deleted."""

from collections.abc import Mapping
from typing import Any

from amqp.exceptions import NotFound
from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.uuid import uuid

from tasks.transports.nats.bindings import Binding
from tasks.transports.nats.streams import MAX_LEVELS, levels_of
from tasks.transports.nats.transient import TransientQueue


def is_transient(*, durable: bool, exclusive: bool, auto_delete: bool, arguments: Mapping[str, Any]) -> bool:
    """Whether a queue is to go with the connection that declares it; x-expires says so as well."""
    return not durable or exclusive or auto_delete or "x-expires" in arguments


class QueueChannel(virtual.Channel):  # type: ignore[misc]  # kombu has no types
    """The part of a channel that needs no message. Durable queues are streams, transient ones subscriptions."""

    max_priority = MAX_LEVELS - 1

    def prepare_queue_arguments(self, arguments: Mapping[str, Any], **named: Any) -> Any:
        """What kombu's Queue calls `expires`, `message_ttl`, `max_length` and `max_priority`, in the words of AMQP."""
        return to_rabbitmq_queue_arguments(arguments, **named)

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
            self._ask(self._declare_transient(name, arguments, auto_delete=auto_delete))
        else:
            self._ask(self.connection.streams.declare(name, arguments))
        return virtual.base.queue_declare_ok_t(name, self._size(name), 0)

    async def _declare_transient(self, name: str, arguments: Mapping[str, Any], *, auto_delete: bool) -> None:
        transients = self.connection.transients
        if name not in transients:
            transients[name] = TransientQueue(
                self.connection.nats, name, levels=levels_of(arguments), auto_delete=auto_delete
            )
            await transients[name].declare()
            for stale in await self.connection.bindings.of_queue(name):  # of a durable queue of that name
                await self.connection.bindings.remove(stale)

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
        """Bind a queue to an exchange; returns once the binding is stored."""
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
        """Remove a binding; one that is not there is no fault."""
        self._ask(self._unbind(queue, exchange or "amq.direct", routing_key or ""))

    async def _unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        if queue in self.connection.transients:
            await self.connection.transients[queue].unbind(exchange, routing_key)
        else:
            await self.connection.bindings.remove(Binding(exchange, self.typeof(exchange).type, queue, routing_key))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Delete a queue and its bindings; with `if_empty` only one without messages."""
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
        """Forget an exchange and its bindings."""
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

    def _ask(self, coroutine: Any) -> Any:
        return self.connection.ask(coroutine)
