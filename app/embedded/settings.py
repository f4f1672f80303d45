"""Settings of the embedded mode: where it keeps its data, and the ports it listens on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config import database_address
from app.embedded.errors import CannotStart

ROOT = Path(__file__).resolve().parents[2]
"""Where `app`, `tasks` and `celeryconfig` are: the checkout, or what the wheel of the server brings."""

FIRST_PORT, LAST_PORT = 1, 65535
BROKERS = ("valkey", "nats")


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """What a person may choose; every other setting reaches the programs through the environment unchanged."""

    home: Path
    """The folder in which the programs run."""
    var_dir: Path
    host: str
    port: int
    flower_port: int
    postgres_port: int
    broker: str
    valkey_port: int
    nats_port: int
    demo_orders_port: int
    mail_catcher_port: int
    database_url: str | None
    broker_url: str | None
    orders_api_url: str | None
    smtp_url: str | None
    shutdown_grace_seconds: int
    concurrency: str
    reload: bool

    @property
    def is_installed(self) -> bool:
        """Whether `tledger up` started this, in somebody's own folder, and not `make run` in a checkout."""
        return self.home != ROOT

    @property
    def log_dir(self) -> Path:
        """Where the programs write their logs."""
        return self.var_dir / "log"

    @property
    def api_url(self) -> str:
        """Where a person on this machine reaches the API, also when it listens on every address."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def load(environ: Mapping[str, str]) -> EmbeddedSettings:
    """Read the settings. Raises CannotStart for an unknown broker, no number, or a port outside 1..65535."""
    home = Path(environ.get("EMBEDDED_HOME") or ROOT)
    reload = environ.get("RELOAD", "") not in ("", "0", "false")
    return EmbeddedSettings(
        home=home,
        var_dir=(home / Path(environ.get("VAR_DIR") or "var").expanduser()).resolve(),
        host=environ.get("HOST") or "127.0.0.1",
        port=_port(environ, "PORT", 8000),
        flower_port=_port(environ, "FLOWER_PORT", 5555),
        postgres_port=_port(environ, "POSTGRES_PORT", 54321),
        broker=_broker(environ),
        valkey_port=_port(environ, "VALKEY_PORT", 6380),
        nats_port=_port(environ, "NATS_PORT", 4222),
        demo_orders_port=_port(environ, "DEMO_ORDERS_PORT", 8020),
        mail_catcher_port=_port(environ, "MAIL_CATCHER_PORT", 8025),
        database_url=_database_url(environ),
        broker_url=environ.get("BROKER_URL") or None,
        orders_api_url=environ.get("ORDERS_API_URL") or None,
        smtp_url=environ.get("SMTP_URL") or None,
        # who edits code wants to see what it does, and not what the old code still does
        shutdown_grace_seconds=_number(environ, "SHUTDOWN_GRACE_SECONDS", 1 if reload else 20),
        concurrency=str(_number(environ, "CONCURRENCY", 0)) if environ.get("CONCURRENCY") else "",
        reload=reload,
    )


def _database_url(environ: Mapping[str, str]) -> str | None:
    url = environ.get("DATABASE_URL") or None
    try:
        if url is not None:
            database_address.read(url)
    except database_address.NoAddress as error:
        example = "postgresql://user:password@localhost/taskledger"
        raise CannotStart(f"DATABASE_URL is refused: {error} Example: DATABASE_URL={example}.") from None
    return url


def _broker(environ: Mapping[str, str]) -> str:
    broker = environ.get("BROKER") or "valkey"
    if broker not in BROKERS:
        raise CannotStart(
            f"BROKER={broker} is none of {', '.join(BROKERS)}: choose one, or name a running broker, "
            "for example BROKER_URL=amqp://guest:guest@localhost:5672//."
        )
    return broker


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    port = _number(environ, name, default)
    if not FIRST_PORT <= port <= LAST_PORT:
        raise CannotStart(f"{name}={port} is no port: choose one from 1 to 65535, for example {name}={default}.")
    return port


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal():
        raise CannotStart(f"{name}={text!r} is not a whole number: write, for example, {name}={default}.")
    return int(text)


def readable(path: Path) -> str:
    """The path as a person would type it: below the current directory if it is there, else in full."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
