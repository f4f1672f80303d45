"""Transports for kombu that are ours, known to it by the schemes of their URLs."""

from kombu.transport import TRANSPORT_ALIASES

OURS = {
    "nats": "tasks.transports.nats:Transport",
    "tls": "tasks.transports.nats:Transport",
    "redis": "tasks.transports.redis:Transport",
    "rediss": "tasks.transports.redis:Transport",
}


def register() -> None:
    """Make ours known to kombu, so that `celery -A tasks -b nats://host worker` works."""
    TRANSPORT_ALIASES.update(OURS)
