"""What differs between brokers, in one table; nothing else in the code asks which broker it is."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Broker:
    """What a kind of broker can do and how it wants to be asked."""

    name: str
    priorities: Mapping[str, int]
    """The broker's number for high, normal and low, and for `risen`: what has waited longest of all, above high."""
    queue_arguments: Mapping[str, Any]
    """Arguments of every work queue."""
    transport_options: Mapping[str, Any]
    """For every connection."""
    publisher_options: Mapping[str, Any]
    """On top, for connections that only publish: nothing may block a publisher for long (CELERY.md 3.4)."""
    dead_letters: bool
    """Whether the broker itself moves rejected messages to the exchange `dlx`."""
    tls_options: Mapping[str, str] = field(default_factory=dict)
    """kombu's names for `ca_file`, `verify` and `host`; empty where the URL says everything."""
    longest_delivery_seconds: int | None = None
    """After how long the broker takes a message back that is not acknowledged, unless it is set up otherwise."""


DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE = "dlx", "failed", "tasks.dead"
MAX_PRIORITY = 3

RABBITMQ = Broker(
    name="RabbitMQ",
    priorities={"risen": 3, "high": 2, "normal": 1, "low": 0},  # x-max-priority 3 makes four levels
    queue_arguments={
        "x-max-priority": MAX_PRIORITY,
        "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key": DEAD_LETTER_KEY,
    },
    transport_options={"confirm_publish": True},
    publisher_options={"read_timeout": 3, "write_timeout": 3},
    dead_letters=True,
    tls_options={"ca_file": "ca_certs", "verify": "cert_reqs", "host": "server_hostname"},
    longest_delivery_seconds=1800,
)
REDIS = Broker(
    name="Redis or Valkey",
    # kombu's Redis transport takes the lowest number first.
    priorities={"risen": 0, "high": 1, "normal": 2, "low": 3},
    queue_arguments={},
    transport_options={
        "priority_steps": [0, 1, 2, 3],
        "queue_order_strategy": "priority",
        "sep": ":",
        "visibility_timeout": 3600,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    publisher_options={"socket_timeout": 3, "socket_connect_timeout": 3},
    dead_letters=False,
    tls_options={"ca_file": "ssl_ca_certs", "verify": "ssl_cert_reqs"},  # redis-py checks the name by itself
    longest_delivery_seconds=3600,
)
TLS_SCHEMES = ("amqps", "rediss")
BY_SCHEME = {
    "amqp": RABBITMQ,
    "amqps": RABBITMQ,
    "pyamqp": RABBITMQ,
    "redis": REDIS,
    "rediss": REDIS,
}


def tls_of(url: str, *, ca_file: str | None) -> dict[str, Any] | None:
    """What kombu needs to verify a broker's certificate; left alone it would accept one of another host.

    None for a URL without TLS. `ca_file` None means the certificates that the system trusts.
    """
    parts, names = urlsplit(url), broker_of(url).tls_options
    if parts.scheme not in TLS_SCHEMES or not names:
        return None
    given = {"ca_file": ca_file, "verify": ssl.CERT_REQUIRED, "host": parts.hostname}
    return {names[name]: value for name, value in given.items() if name in names and value is not None}


def broker_of(url: str) -> Broker:
    """The entry for a broker URL. Raises ValueError naming the schemes that are known."""
    scheme = urlsplit(url).scheme
    try:
        return BY_SCHEME[scheme]
    except KeyError:
        known = ", ".join(f"{name}://" for name in BY_SCHEME)
        raise ValueError(f"no broker is known for {scheme or 'a URL without a scheme'}://; known: {known}") from None
