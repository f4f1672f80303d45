"""Where PostgreSQL and the broker are, and how they are talked to."""

from dataclasses import dataclass

from marshmallow.validate import OneOf, Range

from app.config.checks import check_broker_url, check_database_url, check_longest_delivery
from app.config.setting import setting


@dataclass(frozen=True, kw_only=True)
class Connections:
    """Where PostgreSQL and the broker are, and how they are talked to."""

    database_url: str = setting(
        "str",
        "Where PostgreSQL is; several hosts, of which one can be written to, are separated by commas: a:5432,b:5432",
        example="postgresql://taskledger:password@127.0.0.1:5432/taskledger",
        check=check_database_url,
        secret=True,
    )
    broker_url: str = setting(
        "str",
        "Where RabbitMQ, Redis, Valkey or NATS is; several hosts of one broker are separated by semicolons",
        example="amqp://guest:guest@127.0.0.1:5672//",
        check=check_broker_url,
        secret=True,
    )
    broker_ca_file: str | None = setting(
        "str",
        "Certificate of the authority that signed the broker's, for amqps:// and rediss://; unset: "
        "those that the system trusts",
        example="/run/secrets/ca.pem",
        default=None,
    )
    allow_plaintext_connections: bool = setting(
        "bool",
        "In production, accept a database, broker or audit sink URL without TLS (a private network, a sidecar)",
        example="true",
        default=False,
    )
    prepare_statements: bool = setting(
        "bool",
        "Let PostgreSQL keep the plans of the busiest statements; false behind a pooler that lends out transactions",
        example="false",
        default=True,
    )
    database_pool_size: int = setting(
        "int",
        "Connections that a process keeps open; it may open as many again under load",
        example="10",
        default=10,
        check=Range(1, 1000),
    )
    queue_type: str = setting(
        "str",
        "RabbitMQ queue type; quorum only makes sense in a cluster (hints can be lost, tasks cannot)",
        example="classic",
        default="classic",
        check=OneOf(("classic", "quorum")),
    )
    longest_delivery_seconds: int = setting(
        "int",
        "After how many seconds the broker takes back a message that is not acknowledged. RabbitMQ: its "
        "consumer_timeout, or less; workers acknowledge at a third of it. Redis and Valkey: their visibility timeout "
        "is set to it. NATS: no meaning. 0: what is usual, 1800 for RabbitMQ, 3600 for Redis and Valkey",
        example="1800",
        default=0,
        check=check_longest_delivery,
    )
    sign_hints: bool = setting(
        "bool",
        "Sign broker messages with SECRET_KEY, and refuse those that are not: for a broker that others can write to",
        example="true",
        default=False,
    )
