"""The one table of the programs the supervisor runs, in start order; they stop in the opposite order."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from app.config import BLANK_IS_OFF
from app.embedded import postgres
from app.embedded.account import Account
from app.embedded.brokers import BROKERS
from app.embedded.credentials import Credentials
from app.embedded.demo_peers import peer_settings
from app.embedded.settings import ROOT, EmbeddedSettings

API_THREADS = 32
# By its place: `--app app` would be looked for in the folder in which the programs run, which may have an `app` itself.
FLASK = ("flask", "--app", str(ROOT / "app"))
TRIED_AGAIN = "migrate"
"""It imports every task type and tells the database of them, so it says whether edited ones can be used."""
GIVE_BACK_SECONDS = 20
"""What a worker needs after its grace period, to give back or kill what still runs, and to record it."""


class Stage(Enum):
    """When a program starts; each stage waits until the one before it is done."""

    STORE = "first: the others read and write there"
    ONCE = "ends by itself, before anything uses the tables"
    WATCHER = "beside the programs that run once, because it needs no tables"
    SERVICE = "last: it uses the tables"


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port that a program listens on, and the setting that moves it."""

    number: int
    setting: str
    purpose: str
    host: str = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program: how it starts, how it is asked to stop, and how long that may take."""

    name: str
    stage: Stage
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    user: str | None = None
    port: Port | None = None


def program_table(settings: EmbeddedSettings, credentials: Credentials, account: Account | None) -> tuple[Program, ...]:
    """Every program of this start. The embedded stores are left out when a URL names others."""
    return (*_stores(settings, account), *_services(settings, credentials))


def _stores(settings: EmbeddedSettings, account: Account | None) -> tuple[Program, ...]:
    bare = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # no secret of ours: `nobody` can read its environment
    database = Program(
        name="postgres",
        stage=Stage.STORE,
        command=postgres.command(settings) if settings.database_url is None else (),
        environment=bare,
        stop_signal="INT",  # "fast": ends sessions, keeps everything committed; TERM would wait for every psql to leave
        stop_seconds=30,
        user=account.name if account else None,
        port=Port(number=settings.postgres_port, setting="POSTGRES_PORT", purpose="PostgreSQL"),
    )
    chosen = BROKERS[settings.broker]
    broker = Program(
        name=settings.broker,
        stage=Stage.STORE,
        command=chosen.command(settings) if settings.broker_url is None else (),
        environment=bare,
        port=Port(number=chosen.port(settings), setting=chosen.port_setting, purpose=chosen.title),
    )
    return tuple(program for program in (database, broker) if program.command)


def _services(settings: EmbeddedSettings, credentials: Credentials) -> tuple[Program, ...]:
    shared = service_environment(settings, credentials)
    grace = settings.shutdown_grace_seconds
    return (
        Program(
            name=TRIED_AGAIN,
            stage=Stage.ONCE,
            command=_python(*FLASK, "setup"),
            environment=shared | credentials.first_admin,
        ),
        Program(
            name="flower",
            stage=Stage.WATCHER,
            command=_python("celery", "-A", "tasks", "flower", "--address=127.0.0.1", f"--port={settings.flower_port}"),
            environment=shared | {"FLOWER_BASIC_AUTH": credentials.flower_login},
            stop_seconds=5,  # it keeps nothing
            port=Port(number=settings.flower_port, setting="FLOWER_PORT", purpose="Flower"),
        ),
        *_demo_peers(settings),
        Program(
            name="worker",
            stage=Stage.SERVICE,
            command=_python("tasks", "worker", "--loglevel", "INFO", "--without-mingle", "--without-gossip"),
            environment=shared,
            stop_seconds=grace + GIVE_BACK_SECONDS,
        ),
        Program(
            name="dispatcher",
            stage=Stage.SERVICE,
            command=_python("tasks", "beat", "--loglevel", "INFO"),
            environment=shared,
        ),
        Program(
            name="sinks",
            stage=Stage.SERVICE,
            command=_python(*FLASK, "sink", "csv", "stats", "webhooks"),
            environment=shared,
        ),
        Program(
            name="api",
            stage=Stage.SERVICE,
            command=_python(
                *("gunicorn", "--worker-class", "app.server.Threads", "--workers", "1", "--threads", str(API_THREADS)),
                *("--bind", f"{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"),
                # Longer than clients and proxies keep idle connections: else they meet one that is just being closed.
                *("--keep-alive", "75", "--graceful-timeout", "5", "--no-control-socket"),
                *("--chdir", str(settings.home), "app.factory:create_app()"),
            ),
            environment=shared,
            port=Port(number=settings.port, setting="PORT", purpose="the API", host=settings.host),
        ),
    )


def _demo_peers(settings: EmbeddedSettings) -> tuple[Program, ...]:
    """What stands in for an orders service and a mail relay, where no URL names a real one. They know no secret."""
    bare = {"PATH": os.defpath, "VAR_DIR": str(settings.var_dir), "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"}
    bare |= {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONSAFEPATH") if os.environ.get(name)}
    orders = Program(
        name="demo_orders",
        stage=Stage.WATCHER,
        command=_python("app.embedded.demo_orders") if settings.orders_api_url is None else (),
        environment=bare | {"DEMO_ORDERS_PORT": str(settings.demo_orders_port)},
        stop_seconds=5,
        port=Port(number=settings.demo_orders_port, setting="DEMO_ORDERS_PORT", purpose="the demo orders service"),
    )
    mail = Program(
        name="mail_catcher",
        stage=Stage.WATCHER,
        command=_python("app.embedded.mail_catcher") if settings.smtp_url is None else (),
        environment=bare | {"MAIL_CATCHER_PORT": str(settings.mail_catcher_port)},
        stop_seconds=5,
        port=Port(number=settings.mail_catcher_port, setting="MAIL_CATCHER_PORT", purpose="the mail catcher"),
    )
    return tuple(program for program in (orders, mail) if program.command)


def service_environment(settings: EmbeddedSettings, credentials: Credentials) -> dict[str, str]:
    """The environment of our own programs: what the person set, and what this start decided."""
    return {
        "SECRET_KEY": credentials.secret_key,
        "PAYLOAD_KEYS": credentials.payload_keys,
        "LOG_FORMAT": "console",
        **peer_settings(settings),
        **{name: value for name, value in os.environ.items() if value or name in BLANK_IS_OFF},
        "DATABASE_URL": credentials.database_url(settings),
        "BROKER_URL": credentials.broker_url(settings),
        "VAR_DIR": str(settings.var_dir),
        "HOST": settings.host,
        "PORT": str(settings.port),
        "SHUTDOWN_GRACE_SECONDS": str(settings.shutdown_grace_seconds),
        "PYTHONUNBUFFERED": "1",
        "PWD": str(settings.home),
        **({"WORKER_CONCURRENCY": settings.concurrency} if settings.concurrency else {}),
    }


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    """A module run by this very Python, so that it comes from the same virtual environment."""
    return (sys.executable, "-m", module, *arguments)
