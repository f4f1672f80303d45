"""The brokers that the embedded mode can run: one row each, chosen by BROKER."""

from collections.abc import Callable
from dataclasses import dataclass

from app.embedded import nats, valkey
from app.embedded.credentials import Credentials
from app.embedded.settings import EmbeddedSettings


@dataclass(frozen=True, kw_only=True)
class EmbeddedBroker:
    """How one is configured, started and asked whether it is ready."""

    title: str
    port_setting: str
    port: Callable[[EmbeddedSettings], int]
    write_config: Callable[[EmbeddedSettings, Credentials], None]
    command: Callable[[EmbeddedSettings], tuple[str, ...]]
    answers: Callable[[EmbeddedSettings, Credentials], bool]


BROKERS = {
    "valkey": EmbeddedBroker(
        title="Valkey",
        port_setting="VALKEY_PORT",
        port=lambda settings: settings.valkey_port,
        write_config=valkey.write_config,
        command=valkey.command,
        answers=valkey.answers,
    ),
    "nats": EmbeddedBroker(
        title="NATS",
        port_setting="NATS_PORT",
        port=lambda settings: settings.nats_port,
        write_config=nats.write_config,
        command=nats.command,
        answers=nats.answers,
    ),
}
