"""What differs between brokers, in one table; nothing else in the code asks which broker it is."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Broker:
    """What a kind of broker can do and how it wants to be asked."""

    name: str
    priorities: Mapping[str, int]
    """The broker's number for high, normal and low, and for `boosted`: what has waited longest of all, above high."""
    queue_arguments: Mapping[str, Any]
    """Arguments of every work queue."""
    transport_options: Mapping[str, Any]
    """For every connection."""
    publisher_options: Mapping[str, Any]
    """On top, for connections that only publish: nothing may block a publisher for long (CELERY.md 3.4)."""
    dead_letters: bool
    """Whether the broker itself moves rejected messages to the exchange `dlx`."""
    is_encrypted: bool = False
    """Whether the scheme of the URL says TLS."""
    several_hosts: str = ";"
    """What separates hosts within a URL; URLs are always separated by semicolons."""
    takes_token: bool = False
    """Whether a user name without a password is a token, and so a secret."""
    quorum: "Broker | None" = None
    """The same with QUEUE_TYPE=quorum, where the broker knows such queues."""
    tls_options: Mapping[str, str] = field(default_factory=dict)
    """kombu's names for `ca_file`, `verify` and `host`; empty where the URL says everything."""
    longest_delivery_seconds: int | None = None
    """After how long the broker takes a message back that is not acknowledged, unless it is set up otherwise; None: it
    is told that the message is still worked on."""
    delivery_option: str | None = None
    """The transport option by which a client says so; None where the server's configuration does."""
    ends_overdue_channels: bool = False
    """Whether it then closes the channel: a hint that takes longer has to be acknowledged before its tasks end.
    Elsewhere a second copy is delivered, which meets a live lease and does nothing."""
    prefetch_by_consumer: bool = False
    """Whether a prefetch count may be of each consumer, and not of the channel with all of its consumers."""
    counts_reserved: bool = False
    """Whether Celery itself asks for no more messages than it has children free (worker_disable_prefetch)."""

    @property
    def early_seconds(self) -> float | None:
        """After how long a hint is acknowledged whose tasks have not ended; None: never."""
        if self.longest_delivery_seconds is None or not self.ends_overdue_channels:
            return None
        return self.longest_delivery_seconds / EARLY


EARLY = 3
"""The part of what a broker allows, after which a hint is acknowledged."""
DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE = "dlx", "failed", "tasks.dead"
MAX_PRIORITY = 3
MAX_DELIVERIES = 20
"""So often a message is given to workers that do not settle it; then it goes to the dead letters."""
_TO_DEAD_LETTERS = {"x-dead-letter-exchange": DEAD_LETTER_EXCHANGE, "x-dead-letter-routing-key": DEAD_LETTER_KEY}

RABBITMQ_QUORUM = Broker(
    name="RabbitMQ with quorum queues",
    # RabbitMQ 4 knows two levels here (above 4 is the upper one), RabbitMQ 3 one; x-max-priority is refused by both.
    priorities={"boosted": 9, "high": 5, "normal": 1, "low": 0},
    queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": MAX_DELIVERIES, **_TO_DEAD_LETTERS},
    transport_options={"confirm_publish": True},
    publisher_options={"read_timeout": 3, "write_timeout": 3},
    dead_letters=True,
    tls_options={"ca_file": "ca_certs", "verify": "cert_reqs", "host": "server_hostname"},
    longest_delivery_seconds=1800,
    ends_overdue_channels=True,
    prefetch_by_consumer=True,
)
RABBITMQ = replace(
    RABBITMQ_QUORUM,
    name="RabbitMQ",
    priorities={"boosted": 3, "high": 2, "normal": 1, "low": 0},  # x-max-priority 3 makes four levels
    queue_arguments={"x-max-priority": MAX_PRIORITY, **_TO_DEAD_LETTERS},
    quorum=RABBITMQ_QUORUM,
)
NATS = Broker(
    name="NATS JetStream",
    priorities={"boosted": 3, "high": 2, "normal": 1, "low": 0},  # a consumer for each of the four levels
    queue_arguments={"x-max-priority": MAX_PRIORITY, **_TO_DEAD_LETTERS},
    transport_options={"ack_wait": 30, "max_deliveries": MAX_DELIVERIES},
    publisher_options={"publish_timeout": 3, "request_timeout": 3},
    dead_letters=True,
    several_hosts=",",
    takes_token=True,
)
REDIS = Broker(
    name="Redis or Valkey",
    # kombu's Redis transport takes the lowest number first.
    priorities={"boosted": 0, "high": 1, "normal": 2, "low": 3},
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
    delivery_option="visibility_timeout",
    counts_reserved=True,
)
BY_SCHEME = {
    "amqp": RABBITMQ,
    "amqps": replace(RABBITMQ, is_encrypted=True),
    "pyamqp": RABBITMQ,
    "redis": REDIS,
    "rediss": replace(REDIS, is_encrypted=True),
    "nats": NATS,
    "tls": replace(NATS, is_encrypted=True),
}


def tls_of(url: str, *, ca_file: str | None) -> dict[str, Any] | None:
    """What kombu needs to verify a broker's certificate; left alone it would accept one of another host.

    None for a URL without TLS. `ca_file` None means the certificates that the system trusts.
    """
    parts, broker = urlsplit(hosts_of(url)[0]), broker_of(url)
    names = broker.tls_options
    if not broker.is_encrypted or not names:
        return None
    given = {"ca_file": ca_file, "verify": ssl.CERT_REQUIRED, "host": parts.hostname}
    return {names[name]: value for name, value in given.items() if name in names and value is not None}


def broker_of(url: str, *, queue_type: str = "classic", longest_delivery_seconds: int = 0) -> Broker:
    """The entry for a broker URL. Raises ValueError naming the schemes that are known.

    Several URLs are separated by semicolons; they are hosts of one broker, tried in turn. `longest_delivery_seconds`
    is what holds in place of the usual; 0: the usual. It says nothing where the broker is told that work goes on.
    """
    schemes = {_scheme(each) for each in url.split(";")}
    scheme = min(schemes)
    if len(schemes) > 1:
        raise ValueError(f"the URLs are of different brokers: {', '.join(sorted(schemes))}")
    try:
        broker = BY_SCHEME[scheme]
    except KeyError:
        known = ", ".join(f"{name}://" for name in BY_SCHEME)
        raise ValueError(f"no broker is known for {scheme or 'a URL without a scheme'}://; known: {known}") from None
    found = broker.quorum if queue_type == "quorum" and broker.quorum else broker
    if not longest_delivery_seconds or found.longest_delivery_seconds is None:
        return found
    option = {} if found.delivery_option is None else {found.delivery_option: longest_delivery_seconds}
    return replace(
        found,
        longest_delivery_seconds=longest_delivery_seconds,
        transport_options={**found.transport_options, **option},
    )


def _scheme(url: str) -> str:
    """As urlsplit has it, which since Python 3.13.4 refuses an IPv6 address that is not the only host."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else ""


def url_for_kombu(url: str) -> str:
    """The same brokers in a spelling that kombu can split: it takes an IPv6 address only where a URL has one host."""
    return ";".join(_each_alone(each) if "," in each and "[" in each else each for each in url.split(";"))


def _each_alone(url: str) -> str:
    found, userinfo = [], ""
    for each in hosts_of(url):
        scheme, _, rest = each.partition("://")
        given, at, place = rest.rpartition("@")
        userinfo = f"{given}@" if at else userinfo  # those of the first host are those of all that have none
        found.append(f"{scheme}://{userinfo}{place}")
    return ";".join(found)


def hosts_of(url: str) -> list[str]:
    """A URL for each host: `nats://user:password@one,two;nats://three` are three, each with its own credentials."""
    found = []
    for each in url.split(";"):
        scheme, separator, rest = each.partition("://")
        end = min((at for sign in "/?#" if (at := rest.find(sign)) >= 0), default=len(rest))
        broker = BY_SCHEME.get(scheme)
        places = rest[:end].split(broker.several_hosts) if broker else [rest[:end]]
        found += [f"{scheme}{separator}{place}{rest[end:]}" for place in places]
    return found


def passwords_of(url: str) -> set[str]:
    """Every password and token in a broker's URL, as it stands there. A URL that cannot be read has none."""
    found: set[str] = set()
    for each in hosts_of(url):
        try:
            parts = urlsplit(each)
        except ValueError:  # an unclosed [ around an IPv6 address
            continue
        broker = BY_SCHEME.get(parts.scheme)
        token = parts.username if broker and broker.takes_token and parts.password is None else None
        found |= {secret for secret in (parts.password, token) if secret is not None}
    return found
