"""A kombu transport for NATS with JetStream.

Durable queues are streams with work-queue retention, and one pull consumer for each of their priorities; transient
queues are subscriptions. A message is held by its receiver, renewed as long as that lives, and goes to the dead letters
once it was delivered too often. docs/reference/brokers.md tells how it behaves and what can be set.
"""

from tasks.transports.nats.transport import Transport

__all__ = ["Transport"]
