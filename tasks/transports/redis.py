"""kombu's Redis transport, with faults of kombu 5.7 mended: what it cannot hand back, and what it leaves open."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

CONNECTION_ERRORS, CHANNEL_ERRORS = redis.get_redis_error_classes()
REFUSALS: tuple[type[BaseException], ...] = (*CONNECTION_ERRORS, *CHANNEL_ERRORS)
TIMERS = (
    "_restore_messages_tref",
    "_subclient_health_tref",
    "_brpop_health_tref",
    "_reauth_tref",
    "_binding_expiry_tref",
)
"""Where kombu keeps what it has the event loop call again and again for a connection."""


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Lets go of what a lost connection held.

    kombu tries to hand it back, or to acknowledge what has ended since, over the connection that was dropped, and
    raises AttributeError, which ends the whole worker (seen with kombu 5.7.0 when the server was killed under a worker
    that had a task in hand and a child free). The messages come back after the visibility timeout all the same, and
    the ledger publishes their hints long before.
    """

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Hand back what was not acknowledged, unless its connection was lost."""
        if self._is_lost:
            self._on_collect.cancel()
            self._delivered.clear()
            self._delivered.restored = True
            return
        super().restore_unacked_once(stderr)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge, unless the connection that delivered it was lost."""
        if not self._is_lost:
            with self._unless_refused(delivery_tag):
                super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject, unless the connection that delivered it was lost."""
        if not self._is_lost:
            with self._unless_refused(delivery_tag):
                super().reject(delivery_tag, requeue=requeue)

    @contextlib.contextmanager
    def _unless_refused(self, delivery_tag: str) -> Iterator[None]:
        """A server that takes no writes keeps the message: it comes back after the visibility timeout, to no effect."""
        try:
            yield
        except ResponseError as error:
            log.warning("the server keeps a message that was settled: %s", error)
            virtual.QoS.ack(self, delivery_tag)

    @property
    def _is_lost(self) -> bool:
        transport = self.channel.connection
        return transport is None or transport.client is None


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Gives its sockets back, whatever the server answers to its last words.

    kombu reads the answer to its last question, deletes its transient queues and restores what it holds before it
    closes anything. A server that refuses writes (a replica, a full memory) answers each of them with an error, and
    kombu stopped there: two sockets stayed open for each of six connections a second that Celery made.
    """

    QoS = QoS

    def close(self) -> None:
        """Close it, and its part of the connection. What the server refuses is passed over."""
        try:
            super().close()
        except REFUSALS as error:
            log.debug("a channel was closed without its last words: %s", error)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Nothing, where kombu has come to its end."""
        self.closed = True
        self._disconnect_pools()
        self._close_clients()
        if self.connection is not None:
            self.connection.cycle.discard(self)
            self.connection.close_channel(self)


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """Leaves nothing in the worker's event loop when it is closed.

    kombu takes back neither the function that the loop calls at each tick nor its timers, so that both grew with every
    connection that was lost.
    """

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hub: Any = None
        self._ticks: set[Any] = set()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the loop look after this connection until it is closed."""
        before = set(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        self._hub, self._ticks = loop, self._ticks | (set(loop.on_tick) - before)

    def close_connection(self, connection: Any) -> None:
        """Close all channels. Raises nothing that the server says."""
        try:
            super().close_connection(connection)
        finally:
            self._leave_event_loop()

    def _leave_event_loop(self) -> None:
        if self._hub is None:
            return
        self._hub.on_tick.difference_update(self._ticks)
        for name in TIMERS:
            timer = getattr(self.cycle, name, None)
            if timer is not None:
                with contextlib.suppress(AttributeError):  # a timer that was cancelled before
                    timer.cancel()
        self._hub, self._ticks = None, set()
