"""The generated secrets of the embedded mode, kept in VAR_DIR/embedded.env so that they survive restarts.

`flask`, `celery` and people read the same file: it also holds the URLs of the database and the broker.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.embedded.settings import EmbeddedSettings

FILE_NAME = "embedded.env"
USER = "taskledger"
ADMIN_EMAIL = "admin@taskledger.local"
SECRETS = (
    "SECRET_KEY",
    "POSTGRES_PASSWORD",
    "VALKEY_PASSWORD",
    "NATS_PASSWORD",
    "FLOWER_PASSWORD",
    "ADMIN_PASSWORD",
    "ADMIN_API_KEY",
    "PAYLOAD_KEYS",
)
PREFIXES = {"ADMIN_API_KEY": "tl_"}


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The secrets of one var directory."""

    secret_key: str
    postgres_password: str
    valkey_password: str
    nats_password: str
    flower_password: str
    admin_password: str
    admin_api_key: str
    payload_keys: str
    new: frozenset[str] = frozenset()
    """The secrets that this start generated, by the name they have in the file."""

    def database_url(self, settings: EmbeddedSettings) -> str:
        """DATABASE_URL if it is set, else the address of the embedded PostgreSQL with its password."""
        embedded = f"postgresql://{USER}:{self.postgres_password}@127.0.0.1:{settings.postgres_port}/{USER}"
        return settings.database_url or embedded

    def broker_url(self, settings: EmbeddedSettings) -> str:
        """BROKER_URL if it is set, else the address of the embedded broker with its password."""
        embedded = {
            "valkey": f"redis://:{self.valkey_password}@127.0.0.1:{settings.valkey_port}/0",
            "nats": f"nats://{USER}:{self.nats_password}@127.0.0.1:{settings.nats_port}",
        }
        return settings.broker_url or embedded[settings.broker]

    @property
    def first_admin(self) -> dict[str, str]:
        """What `flask --app app setup` makes the local admin from."""
        return {
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": self.admin_password,
            "ADMIN_API_KEY": self.admin_api_key,
        }

    @property
    def flower_login(self) -> str:
        """User and password as Flower takes them."""
        return f"{USER}:{self.flower_password}"


def prepare(settings: EmbeddedSettings) -> Credentials:
    """Read the secrets, generate the missing ones, and write all of them with the URLs of this start."""
    known = read(settings.var_dir / FILE_NAME)
    chosen = {name: known.get(name) or PREFIXES.get(name, "") + secrets.token_urlsafe(32) for name in SECRETS}
    new = frozenset(name for name in SECRETS if not known.get(name))
    credentials = Credentials(**{name.lower(): value for name, value in chosen.items()}, new=new)
    urls = {
        "DATABASE_URL": credentials.database_url(settings),
        "BROKER_URL": credentials.broker_url(settings),
        "TASKLEDGER_URL": settings.api_url,  # for `flask --app app tasks`
    }
    _write(settings.var_dir / FILE_NAME, chosen | urls)
    return credentials


def read(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of the file; nothing when it does not exist."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it, from its first moment."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _write(path: Path, values: Mapping[str, str]) -> None:
    head = "# Written by `make run`. Delete a secret's line, and the next start makes a new one.\n"
    write_private(path, head + "".join(f"{key}={value}\n" for key, value in values.items()))
