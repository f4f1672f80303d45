"""The brokers under test, by the name that their tests carry."""

import os
from collections.abc import Callable
from typing import Any, Protocol, Self

from tests.support.servers.nats import PrivateNats, find_nats_server
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.rabbitmq_container import RabbitMQContainer, find_docker, image
from tests.support.servers.valkey import PrivateValkey


class PrivateBroker(Protocol):
    """What a test does with a server."""

    port: int

    def new_url(self) -> str: ...
    def start(self) -> Self: ...
    def stop(self) -> int: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def wait_until_ready(self) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def _rabbitmq() -> PrivateRabbitMQ | None:
    scripts = find_scripts()
    return PrivateRabbitMQ(scripts) if scripts else None


def _nats() -> PrivateNats | None:
    program = find_nats_server()
    return PrivateNats(program) if program else None


def _rabbitmq_4() -> PrivateRabbitMQ | None:
    docker = find_docker()
    return RabbitMQContainer(docker) if docker else None


KINDS: dict[str, Callable[[], PrivateBroker | None]] = {
    "rabbitmq": _rabbitmq,
    "valkey": PrivateValkey,
    "nats": _nats,
    "rabbitmq-4": _rabbitmq_4,
    "rabbitmq-4-quorum": _rabbitmq_4,
}
QUEUE_TYPES = {"rabbitmq-4-quorum": "quorum"}
"""The setting QUEUE_TYPE, where it is not the default."""
NEEDED = dict.fromkeys(
    ("rabbitmq-4", "rabbitmq-4-quorum"),
    f"it needs Docker's engine with the image {image()}, which `docker pull` or `make containers` brings",
)
INSTALLED = "rabbitmq valkey nats"
"""What packages bring; the others run in containers, by `make conformance-containers`."""
BROKERS = {name: KINDS[name] for name in os.environ.get("TEST_BROKERS", INSTALLED).split()}
HELD_TOO_LONG = "delivery acknowledgement on channel"
"""What RabbitMQ says when it closes a channel because a message is held beyond its consumer_timeout."""


def limit_deliveries(server: Any, *, seconds: float = 1_800) -> None:
    """Have a RabbitMQ take messages back after so long; for channels that are opened from now on.

    Its configuration file cannot say how often it looks: each minute, and each second while the time is short.
    """
    tick = 60_000 if seconds >= 1_800 else 1_000
    for name, value in {"consumer_timeout": int(seconds * 1_000), "channel_tick_interval": tick}.items():
        server.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")
