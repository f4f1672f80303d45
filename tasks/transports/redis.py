"""kombu's Redis transport, with one fault of kombu 5.7 mended."""

from typing import Any

from kombu.transport import redis


class QoS(redis.QoS):  # type: ignore[misc]  # kombu has no types
    """Lets go of what a lost connection held.

    kombu tries to hand it back over the connection that was just dropped, and raises AttributeError, which ends the
    whole worker (seen with kombu 5.7.0 when the server was killed under a worker that had a task in hand). The
    messages come back after the visibility timeout all the same, and the ledger publishes their hints long before.
    """

    def restore_unacked_once(self, stderr: Any = None) -> None:
        transport = self.channel.connection
        if transport is None or transport.client is None:
            self._on_collect.cancel()
            self._delivered.clear()
            self._delivered.restored = True
            return
        super().restore_unacked_once(stderr)


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    QoS = QoS


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    Channel = Channel
