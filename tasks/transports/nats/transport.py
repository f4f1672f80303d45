"""The transport: one connection of kombu's, and what has arrived on it."""

import contextlib
import os
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import Any, TypeVar

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.utils.uuid import uuid

from tasks.transports.nats import loop, wire
from tasks.transports.nats.address import DEFAULT_PORT, masked, parse
from tasks.transports.nats.bindings import Bindings
from tasks.transports.nats.channel import Channel as NatsChannel
from tasks.transports.nats.client import ACK, NAK, Client
from tasks.transports.nats.dead_letters import DeadLetters
from tasks.transports.nats.errors import NatsUnavailable
from tasks.transports.nats.streams import Streams
from tasks.transports.nats.transient import TransientQueue
from tasks.transports.nats.wake import Wake

T = TypeVar("T")

CONNECT_SECONDS = 4.0
CLOSE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of a durable queue that waits to be handed over."""

    channel: NatsChannel
    queue: str
    tag: str


class Transport(virtual.Transport):  # type: ignore[misc]  # kombu has no types
    """`nats://[user:password@]host[:port][,host…][/namespace][?option=…]`, or `tls://…`."""

    Channel = NatsChannel
    default_port = DEFAULT_PORT
    driver_type = "nats"
    driver_name = "nats-py"
    can_parse_url = True
    connection_errors = (*virtual.Transport.connection_errors, OSError)
    channel_errors = (*virtual.Transport.channel_errors, ChannelError)
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self._arrivals: deque[Arrival] = deque()
        self._listening: dict[str, NatsChannel] = {}
        self._hub: Any = None

    def driver_version(self) -> str:
        """The version of nats-py."""
        return version("nats-py")

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The address of the broker; its passwords are masked unless asked for."""
        return uri if include_password else masked(uri, mask)

    # --- connecting --------------------------------------------------------------------------------------------------

    def establish_connection(self) -> "Transport":
        """Raises NatsUnavailable with one line for an operator, and ValueError for a URL that is none."""
        seconds = float(self.client.connect_timeout or CONNECT_SECONDS)
        address = parse(self._urls(), self.client.transport_options)
        self._let_go()  # kombu connects anew by the same transport where a connection is lost before it is used
        self._wake = Wake()
        self.nats = Client(address, connect_seconds=seconds, name=f"kombu-{os.getpid()}", on_fault=self._wake.set)
        longest = (seconds + 2) * len(address.servers) + address.options.request_timeout
        try:
            loop.run(self.nats.connect(), seconds=longest)
        except BaseException:
            self._wake.close()
            raise
        self.streams = Streams(self.nats)
        self.bindings = Bindings(self.nats)
        self.dead_letters = DeadLetters(self.nats, self.streams, self.bindings)
        self.transients: dict[str, TransientQueue] = {}
        try:
            connection: Transport = super().establish_connection()
        except BaseException:  # kombu opens a channel here; nobody else would ever close what is connected by now
            self.close_connection(self)
            raise
        return connection

    def _urls(self) -> list[str]:
        """All that were given, also when kombu has just switched from one to the next."""
        urls = [url for url in self.client.alt or () if "://" in url]
        if urls:
            return urls
        host = self.client.hostname or "localhost"
        if "://" in host:
            return [host]
        return [f"nats://{host}:{self.client.port or DEFAULT_PORT}/{self.client.virtual_host or ''}"]

    def verify_connection(self, connection: Any) -> bool:
        """Whether it is still there."""
        client = getattr(self, "nats", None)
        return client is not None and client.fault is None

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run on the loop's thread and wait. Raises NatsUnavailable and QueueRefused."""
        if self.nats.fault is not None:
            coroutine.close()
            raise NatsUnavailable(self.nats.fault)
        options = self.nats.options
        return loop.run(coroutine, seconds=options.publish_timeout + 2 * options.request_timeout)

    def close_connection(self, connection: Any) -> None:
        """Hand back what is held, send what waits, and end the connection. Takes seconds at most, and never raises."""
        super().close_connection(connection)
        self._let_go()

    def _let_go(self) -> None:
        if self._hub is not None:
            self._hub.remove(self._wake.fileno())
            self._hub = None
        if not hasattr(self, "nats"):
            return
        if not self.nats.is_abandoned:
            with contextlib.suppress(NatsUnavailable):
                loop.run(self.nats.close(), seconds=CLOSE_SECONDS)
        self._wake.close()

    # --- what arrives: called on the loop's thread -------------------------------------------------------------------

    def push(self, channel: NatsChannel, queue: str, tag: str) -> None:
        """A message is here."""
        self._arrivals.append(Arrival(channel, queue, tag))
        self._wake.set()

    # --- draining ----------------------------------------------------------------------------------------------------

    def listen(self, channel: NatsChannel, queue: TransientQueue) -> None:
        """Hand over what this queue hears."""
        self._listening[queue.name] = channel
        queue.arrived = self._wake.set
        if queue.kept:
            self._wake.set()

    def forget(self, channel: NatsChannel, queue: str) -> None:
        """Its consumer was cancelled: what has arrived for it goes back."""
        if self._listening.get(queue) is channel:
            del self._listening[queue]
        for arrival in list(self._arrivals):
            if arrival.channel is channel and arrival.queue == queue:
                self._arrivals.remove(arrival)
                channel.settle(arrival.tag, NAK)

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Hand over one message. Raises TimeoutError when none comes, and NatsUnavailable."""
        until = None if timeout is None else monotonic() + timeout
        while not self._hand_over_next():
            left = None if until is None else max(0.0, until - monotonic())
            if not self._wake.wait(left):
                raise TimeoutError
            self._wake.clear()

    def _hand_over_next(self) -> bool:
        if self.nats.fault is not None:
            raise NatsUnavailable(self.nats.fault)
        while self._arrivals:
            if self._hand_over(self._arrivals.popleft()):
                return True
        for name in list(self._listening):
            queue = self.transients.get(name)
            message = queue.kept.take(name, uuid()) if queue is not None else None
            if message is not None:
                self._deliver(message, name)
                return True
        return False

    def _hand_over(self, arrival: Arrival) -> bool:
        """False for one that is not to be seen any more."""
        held = self.nats.held.get(arrival.tag)
        if held is None:
            return False
        if arrival.channel.closed or arrival.queue not in self._callbacks:
            arrival.channel.settle(arrival.tag, NAK)
            return False
        message = wire.decode(held.data, queue=arrival.queue, tag=arrival.tag, deliveries=held.deliveries)
        if arrival.channel.drops_expired(message):
            return False
        if arrival.channel.settles_at_once(arrival.queue):
            arrival.channel.settle(arrival.tag, ACK)
        self._deliver(message, arrival.queue)
        return True

    # --- the worker's event loop -------------------------------------------------------------------------------------

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """The loop sleeps until the descriptor is readable."""
        self._hub = loop
        loop.add_reader(self._wake.fileno(), self.on_readable, connection, loop)

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Hand over all that has arrived. Raises NatsUnavailable: then Celery connects anew."""
        self._wake.clear()
        try:
            while self._hand_over_next():
                pass
        finally:
            if self._arrivals:
                self._wake.set()
