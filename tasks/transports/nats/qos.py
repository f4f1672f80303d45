"""What a channel was given and has not settled; prefetching itself is bounded where messages are asked for."""

from typing import Any

from kombu.transport import virtual

from tasks.transports.nats.client import ACK, NAK


class QoS(virtual.QoS):  # type: ignore[misc]  # kombu has no types
    """Settles with JetStream instead of keeping copies to publish again."""

    def can_consume(self) -> bool:
        """Whatever has arrived was asked for on credit."""
        return True

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was delivered and is not settled yet."""
        self._delivered[delivery_tag] = message

    def ack(self, delivery_tag: str) -> None:
        """From any thread."""
        self._delivered.pop(delivery_tag, None)
        self.channel.settle(delivery_tag, ACK)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Hand it back to be delivered again at once, or to the dead letters."""
        self._delivered.pop(delivery_tag, None)
        if requeue:
            self.channel.settle(delivery_tag, NAK)
        else:
            self.channel.discard(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Hand everything back."""
        for tag in list(self._delivered):
            self.reject(tag, requeue=True)
        return []
