"""Settings: environment variables, read once, checked all at once, frozen."""

import base64
import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range

from app.errors import SettingsError
from app.production import DEVELOPMENT_SECRET, faults_of, split_url
from app.secret_files import SUFFIX, with_files
from tasks.brokers import broker_of, hosts_of
from tasks.documents import Seller
from tasks.errors import PayloadRefused
from tasks.payload import PayloadSpec

PAYLOAD_KEY_BYTES = 32
EMBEDDED_FILE = "embedded.env"
API_KEY = re.compile(r"tl_[A-Za-z0-9_-]{43,}")
RATE = re.compile(r"[1-9]\d{0,8} ?(per|/) ?(second|minute|hour|day)")
# Blank means off for these, so that unset and blank differ; what is unset depends on where the service runs.
RATE_LIMITS = {
    "development": {"RATE_LIMIT_AUTH": "120 per minute"},
    "production": {
        "RATE_LIMIT_CREATE": "3000 per minute",
        "RATE_LIMIT_READ": "6000 per minute",
        "RATE_LIMIT_AUTH": "30 per minute",
    },
}
BLANK_IS_OFF = frozenset(RATE_LIMITS["production"])
DEFAULT_VAR_DIR = Path("var")


def _setting(
    kind: str,
    description: str,
    *,
    example: str,
    default: Any = MISSING,
    check: Callable[[Any], Any] | None = None,
    secret: bool = False,
) -> Any:
    metadata = {"kind": kind, "description": description, "example": example, "check": check}
    return field(default=default, repr=not secret, metadata=metadata)


def _check_database_url(url: str) -> None:
    parts = split_url(url)
    if parts.scheme.split("+")[0] not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValidationError("It must be a PostgreSQL URL that names a database.")


def _check_broker_url(url: str) -> None:
    try:
        broker_of(url)
    except ValueError as error:
        raise ValidationError(f"{error}.") from None
    for each in hosts_of(url):
        if not split_url(each).hostname:
            raise ValidationError("It must name a host.")
        try:
            split_url(each).port  # noqa: B018 (it raises)
        except ValueError:
            raise ValidationError("A port must be a number from 0 to 65535.") from None


def _check_rate(text: str) -> None:
    if text and not RATE.fullmatch(text):
        raise ValidationError("It must be a number per second, minute, hour or day, or blank for no limit.")


def _check_networks(text: str) -> None:
    for word in words(text):
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValidationError(f"{error}.") from None


def _check_origins(text: str) -> None:
    for origin in words(text):
        parts = split_url(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValidationError(f"{origin} is no origin: scheme, host and port only, and no *.")


def _check_payload_keys(text: str) -> None:
    for number, word in enumerate(words(text), 1):
        try:
            size = len(base64.urlsafe_b64decode(word.replace("+", "-").replace("/", "_") + "=" * (-len(word) % 4)))
        except ValueError:
            size = 0
        if size != PAYLOAD_KEY_BYTES:
            raise ValidationError(f"Key {number} is not {PAYLOAD_KEY_BYTES} bytes in base64.")


def _check_api_key(key: str) -> None:
    if key and not API_KEY.fullmatch(key):
        raise ValidationError("It must be tl_ and at least 43 of A-Z, a-z, 0-9, - and _.")


def _check_storage(url: str) -> None:
    if not url.startswith(("memory://", "redis://", "rediss://")):
        raise ValidationError("It must begin with memory://, redis:// or rediss://.")


def words(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated setting."""
    return tuple(part for part in (each.strip() for each in text.split(",")) if part)


def _check_artifacts_url(url: str | None) -> None:
    parts = split_url(url or "")
    is_bucket = parts.scheme == "s3" and bool(parts.netloc)
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    if url and not (is_bucket or is_folder):
        raise ValidationError("It must be s3://bucket/prefix or file:///directory.")


def _check_seller(text: str) -> None:
    if not text:
        return
    try:
        PayloadSpec.of(Seller).load(json.loads(text))
    except (ValueError, PayloadRefused) as error:
        raise ValidationError(f"It must be JSON with a name: {error}.") from None


def _check_links(text: str) -> None:
    for word in words(text):
        name, _, url = word.partition("=")
        if not name.strip() or split_url(url.strip()).scheme not in ("http", "https"):
            raise ValidationError(f"{word} is no link: write name=https://address.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be set; the variable is the field's name in upper case (docs/reference/settings.md)."""

    database_url: str = _setting(
        "str",
        "Where PostgreSQL is",
        example="postgresql://taskledger:password@127.0.0.1:5432/taskledger",
        check=_check_database_url,
        secret=True,
    )
    broker_url: str = _setting(
        "str",
        "Where RabbitMQ, Redis, Valkey or NATS is; several hosts of one broker are separated by semicolons",
        example="amqp://guest:guest@127.0.0.1:5672//",
        check=_check_broker_url,
        secret=True,
    )
    broker_ca_file: str | None = _setting(
        "str",
        "Certificate of the authority that signed the broker's, for amqps:// and rediss://; unset: "
        "those that the system trusts",
        example="/run/secrets/ca.pem",
        default=None,
    )
    app_env: str = _setting(
        "str",
        "`production` refuses default or short secrets, debug mode and connections without TLS",
        example="production",
        default="development",
        check=OneOf(("development", "production")),
    )
    secret_key: str = _setting(
        "str",
        "Signs list cursors and tokens; the same for all API processes",
        example="the output of: openssl rand -hex 32",
        default=DEVELOPMENT_SECRET,
        secret=True,
    )
    allow_plaintext_connections: bool = _setting(
        "bool",
        "In production, accept a database or broker URL without TLS (a private network, a sidecar)",
        example="true",
        default=False,
    )
    host: str = _setting("str", "Address the API listens on", example="0.0.0.0", default="127.0.0.1")  # noqa: S104
    port: int = _setting("int", "Port the API listens on", example="8000", default=8000, check=Range(1, 65535))
    log_format: str = _setting(
        "str",
        "`json` is one object a line, `console` is for people, `auto` is console on a terminal and json elsewhere",
        example="json",
        default="auto",
        check=OneOf(("auto", "console", "json")),
    )
    log_level: str = _setting(
        "str",
        "Least severe level that is written; DEBUG adds a line for every request",
        example="INFO",
        default="INFO",
        check=OneOf(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    )
    log_file: str | None = _setting(
        "str",
        "A file that gets the same lines as JSON, beside standard error; `{process}` in it becomes api, worker or "
        "dispatcher",
        example="logs/{process}.jsonl",
        default=None,
    )
    log_file_bytes: int = _setting(
        "int",
        "A log file that has grown to this size is put aside and begun anew",
        example="10485760",
        default=10_485_760,
        check=Range(10_000, 1_099_511_627_776),
    )
    log_file_backups: int = _setting(
        "int",
        "How many log files that were put aside are kept",
        example="5",
        default=5,
        check=Range(1, 1000),
    )
    max_body_bytes: int = _setting(
        "int",
        "Largest request body; a larger one is answered with 413",
        example="1048576",
        default=1_048_576,
        check=Range(1024, 268_435_456),
    )
    prepare_statements: bool = _setting(
        "bool",
        "Let PostgreSQL keep the plans of the busiest statements; false behind a pooler that lends out transactions",
        example="false",
        default=True,
    )
    database_pool_size: int = _setting(
        "int",
        "Connections that a process keeps open; it may open as many again under load",
        example="10",
        default=10,
        check=Range(1, 1000),
    )
    queue_type: str = _setting(
        "str",
        "RabbitMQ queue type; quorum only makes sense in a cluster (hints can be lost, tasks cannot)",
        example="classic",
        default="classic",
        check=OneOf(("classic", "quorum")),
    )
    aging_seconds: int = _setting(
        "int",
        "A task that has waited this long gets a second hint one priority higher",
        example="300",
        default=300,
        check=Range(1, 86_400),
    )
    lease_seconds: int = _setting(
        "int",
        "How long a silent worker keeps a task, for types that set no lease of their own",
        example="60",
        default=60,
        check=Range(3, 3600),
    )
    shutdown_grace_seconds: int = _setting(
        "int",
        "How long a stopping worker lets running tasks finish before it gives them back",
        example="20",
        default=20,
        check=Range(0, 1500),
    )
    retention_completed_days: int = _setting(
        "int",
        "COMPLETED tasks are deleted after so many days, with their history; 0 keeps them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )
    retention_failed_days: int = _setting(
        "int",
        "FAILED tasks (dead letters) are deleted after so many days; 0 keeps them",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
    retention_cancelled_days: int = _setting(
        "int",
        "CANCELLED tasks are deleted after so many days; 0 keeps them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )
    retention_events_days: int = _setting(
        "int",
        "The history of a day is dropped as a whole after so many days; 0 keeps it",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
    max_schedules_per_owner: int = _setting(
        "int",
        "How many schedules an account may have; those made without an account count together",
        example="10000",
        default=10_000,
        check=Range(0, 1_000_000),
    )
    max_waiters: int = _setting(
        "int",
        "Long polls (`?wait=`) held at once by an API process; past it the current state is answered at once",
        example="16",
        default=16,
        check=Range(0, 10_000),
    )
    registration: str = _setting(
        "str",
        "`open` lets anybody make an account of their own, `closed` only admins and the command line",
        example="closed",
        default="open",
        check=OneOf(("open", "closed")),
    )
    rate_limit_create: str = _setting(
        "str",
        "Requests that change something, per account (ten times that per address); blank: no limit",
        example="3000 per minute",
        default="",
        check=_check_rate,
    )
    rate_limit_read: str = _setting(
        "str",
        "Requests that read, per account (ten times that per address); blank: no limit",
        example="6000 per minute",
        default="",
        check=_check_rate,
    )
    rate_limit_auth: str = _setting(
        "str",
        "Log-ins, registrations and requests with a wrong credential, per address; blank: no limit",
        example="30 per minute",
        default="",
        check=_check_rate,
    )
    rate_limit_storage: str = _setting(
        "str",
        "Where requests are counted: memory:// for each process by itself, redis:// for all together",
        example="redis://:password@127.0.0.1:6379/1",
        default="memory://",
        check=_check_storage,
        secret=True,
    )
    max_waiting_tasks: int = _setting(
        "int",
        "Tasks of one account that may wait at once, unless the account has a quota of its own; 0: no quota",
        example="100000",
        default=1_000_000,
        check=Range(0, 1_000_000_000),
    )
    max_payload_bytes: int = _setting(
        "int",
        "Largest payload of a task, as JSON",
        example="1048576",
        default=1_048_576,
        check=Range(1024, 268_435_456),
    )
    max_batch_tasks: int = _setting(
        "int",
        "Most tasks in one request to /tasks/batch",
        example="1000",
        default=1000,
        check=Range(1, 100_000),
    )
    cors_origins: str = _setting(
        "str",
        "Origins whose pages may call the API from a browser, separated by commas; blank: none",
        example="https://app.example.com",
        default="",
        check=_check_origins,
    )
    trusted_proxies: str = _setting(
        "str",
        "Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, separated by commas",
        example="10.0.0.0/8",
        default="",
        check=_check_networks,
    )
    metrics_allow: str = _setting(
        "str",
        "Addresses or networks that may read /metrics without a key, separated by commas",
        example="127.0.0.1",
        default="",
        check=_check_networks,
    )
    metrics_host: str = _setting(
        "str",
        "Address on which worker and dispatcher offer /metrics; there is no key to it",
        example="0.0.0.0",  # noqa: S104
        default="127.0.0.1",
    )
    worker_metrics_port: int = _setting(
        "int",
        "Port on which a worker offers its /metrics; 0: none",
        example="9191",
        default=0,
        check=Range(0, 65535),
    )
    dispatcher_metrics_port: int = _setting(
        "int",
        "Port on which the dispatcher offers its /metrics; 0: none",
        example="9192",
        default=0,
        check=Range(0, 65535),
    )
    metrics_dir: str | None = _setting(
        "str",
        "Where the processes of one service keep what they count, until it stops; unset: below the temporary directory",
        example="/dev/shm/taskledger",  # noqa: S108
        default=None,
    )
    overload_waiting_tasks: int = _setting(
        "int",
        "A queue in which more tasks wait is overloaded (`/queues/overloaded`)",
        example="10000",
        default=10_000,
        check=Range(1, 1_000_000_000),
    )
    overload_oldest_seconds: int = _setting(
        "int",
        "A queue whose first task has waited for longer is overloaded",
        example="300",
        default=300,
        check=Range(1, 31_536_000),
    )
    overload_drain_seconds: int = _setting(
        "int",
        "A queue that needs longer until nothing waits is overloaded",
        example="900",
        default=900,
        check=Range(1, 31_536_000),
    )
    scaling_drain_seconds: int = _setting(
        "int",
        "`/queues/scaling` asks for so many handlers that what waits is done within this time",
        example="60",
        default=60,
        check=Range(1, 86_400),
    )
    scaling_slots_per_worker: int = _setting(
        "int",
        "How many handlers one more worker brings: what the first one is asked for before anything was measured",
        example="4",
        default=4,
        check=Range(1, 1000),
    )
    sign_hints: bool = _setting(
        "bool",
        "Sign broker messages with SECRET_KEY, and refuse those that are not: for a broker that others can write to",
        example="true",
        default=False,
    )
    payload_keys: str = _setting(
        "str",
        "Keys for payloads of sensitive types, separated by commas: the first one encrypts, all decrypt",
        example="the output of: openssl rand -base64 32",
        default="",
        check=_check_payload_keys,
        secret=True,
    )
    admin_email: str = _setting(
        "str",
        "E-mail address of the first admin, whom `flask --app app setup` makes",
        example="admin@example.com",
        default="",
    )
    admin_password: str = _setting("str", "Password of the first admin", example="a few words", default="", secret=True)
    admin_api_key: str = _setting(
        "str",
        "An API key for the first admin: tl_ and 43 random characters",
        example="tl_ and the output of: openssl rand -base64 32 | tr +/ -_ | tr -d =",
        default="",
        check=_check_api_key,
        secret=True,
    )
    dashboard_links: str = _setting(
        "str",
        "Further links of the dashboard, as name=address, separated by commas",
        example="Flower=http://127.0.0.1:5555, RabbitMQ=http://127.0.0.1:15672",
        default="",
        check=_check_links,
    )
    var_dir: Path = _setting(  # noqa: RUF009 (a Path is as frozen as the strings above)
        "path",
        "Where the embedded mode keeps its data and its generated passwords",
        example="var",
        default=DEFAULT_VAR_DIR,
    )

    artifacts_url: str | None = _setting(
        "str",
        "Where files are kept: `s3://bucket/prefix`, or a `file:///directory` that all processes share; "
        "unset: VAR_DIR/artifacts",
        example="s3://taskledger/artifacts",
        default=None,
        check=_check_artifacts_url,
    )
    artifact_max_bytes: int = _setting(
        "int",
        "Largest file that is accepted; a larger one is answered with 413",
        example="104857600",
        default=104_857_600,
        check=Range(1, 1_099_511_627_776),
    )
    artifact_retention_days: int = _setting(
        "int",
        "How long files are kept; 0: until somebody deletes them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )

    webhook_disable_hours: int = _setting(
        "int",
        "A webhook none of whose attempts has succeeded for so long is disabled; 0: never",
        example="120",
        default=120,
        check=Range(0, 8_760),
    )
    csv_dir: Path | None = _setting(  # noqa: RUF009 (as var_dir)
        "path",
        "Where the csv sink writes events-YYYY-MM-DD.csv; unset: VAR_DIR/csv",
        example="/var/lib/taskledger/csv",
        default=None,
    )
    csv_retention_days: int = _setting(
        "int",
        "Files of the csv sink are deleted after so many days; 0 keeps them",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
    max_streams: int = _setting(
        "int",
        "Live streams held at once by an API process, each of which holds a thread; past it 503 is answered",
        example="500",
        default=8,
        check=Range(0, 10_000),
    )
    stream_seconds: int = _setting(
        "int",
        "A live stream is ended after so long; its client connects again and goes on where it was",
        example="3600",
        default=3600,
        check=Range(1, 86_400),
    )
    invoice_seller: str = _setting(
        "str",
        "Who sends invoices, as printed: JSON with name, address (a list of lines), tax_id and bank",
        example='{"name": "Nordlicht Kaffee GmbH", "address": ["Hafenstr. 12", "20457 Hamburg"]}',
        default="",
        check=_check_seller,
    )

    @property
    def secrets(self) -> frozenset[str]:
        """The values of all secret settings that are set."""
        held = (getattr(self, setting.name) for setting in fields(self) if not setting.repr)
        return frozenset(value for value in held if value and value != DEVELOPMENT_SECRET)


FROM_FILES = (*(setting.name.upper() for setting in fields(Settings)), "FLOWER_BASIC_AUTH")
ADDRESSES = ("DATABASE_URL", "BROKER_URL")


class _Environment(Env):
    """environs over a given mapping; the library itself always reads os.environ."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._given = environ

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key, default)


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from a mapping; an empty value counts as unset, NAME_FILE names a file with the value of NAME.

    Raises SettingsError that lists every fault.
    """
    environ, file_faults = with_files(environ, FROM_FILES)
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    rates = RATE_LIMITS.get(given.get("APP_ENV", "development"), {})
    given = {name: rate for name, rate in rates.items() if name not in environ} | given
    reader = _Environment(given)
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        default = ... if setting.default is MISSING else setting.default
        parse = getattr(reader, setting.metadata["kind"])
        values[setting.name] = parse(setting.name.upper(), default, validate=setting.metadata["check"])
    faults = []
    try:
        reader.seal()
    except EnvValidationError as error:
        faults = [_fault(name, given, error.error_messages) for name in error.error_messages]
    if values["app_env"] == "production":
        faults += faults_of(given)
    if faults or file_faults:
        raise SettingsError(file_faults + faults)
    return Settings(**values)


def _fault(name: str, given: Mapping[str, str], messages: Any) -> str:
    example = next(each.metadata["example"] for each in fields(Settings) if each.name.upper() == name)
    if name not in given:
        return f"{name} is not set: start `make run` beside this (it writes {EMBEDDED_FILE}), or set {name}={example}"
    return f"{name} is refused: {' '.join(map(str, messages[name]))} Example: {name}={example}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. Raises SettingsError."""
    return load(given_here(os.environ))


def given_here(environ: Mapping[str, str]) -> dict[str, str]:
    """What is set, and beside a running `make run` what its embedded.env says. Raises SettingsError."""
    given = {name: value for name, value in environ.items() if value.strip() or name in BLANK_IS_OFF}
    is_complete = all(name in given or name + SUFFIX in given for name in ADDRESSES)
    if is_complete or given.get("APP_ENV") == "production":
        return given
    return read_embedded(Path(given.get("VAR_DIR", DEFAULT_VAR_DIR)) / EMBEDDED_FILE) | given


def read_embedded(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        advice = "run this as the user of `make run`, or set DATABASE_URL and BROKER_URL"
        raise SettingsError([f"{path} cannot be read ({error.strerror}): {advice}"]) from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
