"""The NATS transport by itself: kombu on one side, a real nats-server on the other."""
