"""The brokers under test, by the name that their tests carry."""

from collections.abc import Callable
from typing import Protocol, Self

from tests.support.servers.nats import PrivateNats, find_nats_server
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
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


BROKERS: dict[str, Callable[[], PrivateBroker | None]] = {
    "rabbitmq": _rabbitmq,
    "valkey": PrivateValkey,
    "nats": _nats,
}
