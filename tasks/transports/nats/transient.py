"""Transient queues (remote control, its replies, events): subscriptions of the connection that declared them."""

from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tasks.transports.nats.client import Client
from tasks.transports.nats.errors import NatsUnavailable
from tasks.transports.nats.kept import Kept
from tasks.transports.nats.names import encode, interest, matches, route, routing_key


class TransientQueue:
    """Hears from the moment it is declared and keeps what it heard until somebody consumes; gone with its connection.

    Connections that declare one of the same name share its messages, each goes to one of them.
    """

    def __init__(self, client: Client, name: str, *, levels: int, auto_delete: bool) -> None:
        self.name = name
        self.auto_delete = auto_delete
        """Deleted when its consumer is cancelled."""
        self.kept = Kept(levels=levels)
        self.arrived: Callable[[], None] = lambda: None
        self._client = client
        self._space = encode(client.address.namespace)
        self._subscriptions: dict[tuple[str, str], Subscription] = {}

    async def declare(self) -> None:
        """Hear what is sent to the queue by its name."""
        await self._subscribe(("", self.name), f"{self._space}.transient.{encode(self.name)}", lambda _: True)

    async def bind(self, exchange: str, exchange_type: str, pattern: str) -> None:
        """Hear what an exchange is given with a matching routing key."""
        prefix = f"{self._space}.exchange.{encode(exchange)}."

        def is_ours(subject: str) -> bool:
            return matches(exchange_type, pattern, routing_key(subject.removeprefix(prefix)))

        await self._subscribe((exchange, pattern), prefix + interest(exchange_type, pattern), is_ours)

    async def _subscribe(self, key: tuple[str, str], subject: str, is_ours: Callable[[str], bool]) -> None:
        async def hear(message: Msg) -> None:
            if is_ours(message.subject):
                self.kept.append(message.data)
                self.arrived()

        if key not in self._subscriptions:
            try:
                self._subscriptions[key] = await self._client.nc.subscribe(subject, queue=encode(self.name), cb=hear)
                await self._client.nc.flush()  # heard from now on, whoever publishes
            except (nats.errors.Error, OSError) as error:
                raise NatsUnavailable(f"queue {self.name}: {error}") from error

    async def unbind(self, exchange: str, pattern: str) -> None:
        """Hear no more of an exchange."""
        await self._end(self._subscriptions.pop((exchange, pattern), None))

    async def delete(self) -> None:
        """Hear nothing more."""
        self.kept.clear()
        while self._subscriptions:
            await self._end(self._subscriptions.popitem()[1])

    async def _end(self, subscription: Subscription | None) -> None:
        if subscription is not None and self._client.fault is None:
            try:
                await subscription.unsubscribe()
            except (nats.errors.Error, OSError) as error:
                raise NatsUnavailable(f"queue {self.name}: {error}") from error


def to_exchange(namespace: str, exchange: str, key: str) -> str:
    """The subject on which transient queues hear what an exchange is given."""
    return f"{encode(namespace)}.exchange.{encode(exchange)}.{route(key)}"


def to_queue(namespace: str, queue: str) -> str:
    """The subject on which a transient queue hears what is sent to it by name."""
    return f"{encode(namespace)}.transient.{encode(queue)}"
