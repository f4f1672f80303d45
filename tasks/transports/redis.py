"""kombu's Redis transport, with two faults of kombu 5.7 mended."""

from typing import Any

from kombu.transport import redis


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
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject, unless the connection that delivered it was lost."""
        if not self._is_lost:
            super().reject(delivery_tag, requeue=requeue)

    @property
    def _is_lost(self) -> bool:
        transport = self.channel.connection
        return transport is None or transport.client is None


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """kombu's channel with the QoS of this module."""

    QoS = QoS


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """kombu's transport with the channel of this module."""

    Channel = Channel
