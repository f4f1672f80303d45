"""NATS as the embedded broker (BROKER=nats): an installed nats-server with JetStream, run directly."""

import os
import shutil
import socket
from pathlib import Path

from app.embedded.credentials import USER, Credentials, write_private
from app.embedded.errors import CannotStart
from app.embedded.settings import EmbeddedSettings

PLACES = ("/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin")
MISSING = (
    "BROKER=nats needs nats-server, which is not installed here (on Debian and Ubuntu: apt install nats-server): "
    "install it, or leave BROKER unset for the broker that comes with the Python packages."
)


def binary() -> Path:
    """The server's program. Raises CannotStart when it is not installed."""
    on_path = shutil.which("nats-server")
    places = [Path(on_path)] if on_path else [Path(place) / "nats-server" for place in PLACES]
    found = [place for place in places if os.access(place, os.X_OK)]
    if not found:
        raise CannotStart(MISSING)
    return found[0]


def write_config(settings: EmbeddedSettings, credentials: Credentials) -> None:
    """Write the server's settings; the password stands in this file, so that `ps` does not show it."""
    write_private(
        config_path(settings),
        f'listen: "127.0.0.1:{settings.nats_port}"\n'
        f'authorization {{ user: "{USER}", password: "{credentials.nats_password}" }}\n'
        f'jetstream {{ store_dir: "{settings.var_dir / "nats"}" }}\n',
    )


def config_path(settings: EmbeddedSettings) -> Path:
    """Where the server's settings are kept."""
    return settings.var_dir / "nats.conf"


def command(settings: EmbeddedSettings) -> tuple[str, ...]:
    """The command line of the server."""
    return (str(binary()), "--config", str(config_path(settings)))


def answers(settings: EmbeddedSettings, credentials: Credentials) -> bool:
    """Whether the server takes our password and answers a ping."""
    hello = f'CONNECT {{"user":"{USER}","pass":"{credentials.nats_password}","verbose":false}}\r\nPING\r\n'
    try:
        with socket.create_connection(("127.0.0.1", settings.nats_port), timeout=1) as connection:
            lines = connection.makefile("rb")
            lines.readline()  # INFO
            connection.sendall(hello.encode())
            return lines.readline() == b"PONG\r\n"
    except OSError:
        return False
