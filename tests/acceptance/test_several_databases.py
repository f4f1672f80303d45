"""DATABASE_URL with several hosts: every process and command works with the one server that can be written to."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg2
import pytest
import sqlalchemy as sa

from app.config import Settings, load
from app.database import make_engine
from app.factory import create_app
from app.worker import heartbeat
from tests.conftest import empty_broker_url
from tests.support.servers.databases import NO_BROKER, ROOT, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Sink, service_environment
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import free_port, wait_for

# Two servers and a handful of processes start one after another.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SPELLINGS = {
    "before the database": "postgresql://postgres@127.0.0.1:{first},127.0.0.1:{second}/{name}",
    "libpq's parameters": "postgresql://postgres@/{name}?host=127.0.0.1,127.0.0.1&port={first},{second}",
    "SQLAlchemy's parameters": "postgresql+psycopg2://postgres@/{name}?host=127.0.0.1:{first}&host=127.0.0.1:{second}",
    "said": "postgresql://postgres@127.0.0.1:{first},127.0.0.1:{second}/{name}?target_session_attrs=read-write",
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A server that takes no changes, and the one behind it that does; both have a migrated database of this name."""

    read_only: PrivatePostgres
    writable: PrivatePostgres
    name: str

    @property
    def direct(self) -> str:
        """What a test itself looks at, and changes."""
        return self.writable.url(self.name)

    def url(self, spelling: str, *, first: int | None = None) -> str:
        ports = {"first": first or self.read_only.port, "second": self.writable.port}
        return SPELLINGS[spelling].format(**ports, name=self.name)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with PrivatePostgres() as read_only, PrivatePostgres() as writable:
        name = urlsplit(Databases(writable.url()).create("main")).path.strip("/")
        execute(read_only.url(), f'CREATE DATABASE "{name}"')
        switch_read_only(read_only, "on")
        yield Pair(read_only=read_only, writable=writable, name=name)


def execute(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def switch_read_only(server: PrivatePostgres, on_or_off: str) -> None:
    change = f"ALTER SYSTEM SET default_transaction_read_only = {on_or_off}"
    execute(server.url(), change, "SELECT pg_reload_conf()")
    wait_for(lambda: shown(server) == on_or_off)


def shown(server: PrivatePostgres) -> str:
    connection = psycopg2.connect(server.url())
    with connection.cursor() as cursor:
        cursor.execute("SHOW default_transaction_read_only")
        (value,) = cursor.fetchone() or ("",)
    connection.close()
    return str(value)


def run(url: str, *command: str, broker_url: str = NO_BROKER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=service_environment(database_url=url, broker_url=broker_url),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("first", ["down", "read-only"])
def test_every_process_works_with_the_server_that_can_be_written_to(pair, request, tmp_path, first):
    url = pair.url("before the database", first=free_port() if first == "down" else None)
    stack = Stack(database_url=pair.direct, broker_url=empty_broker_url(request), csv_dir=str(tmp_path))
    for process in (stack.api, stack.worker, stack.dispatcher):
        process.environment = stack.environment = stack.environment | {"DATABASE_URL": url}
    with stack:
        with Sink(stack.environment, "csv") as sink:
            sink.wait_until_ready()
            done = stack.submit("uppercase_text", "hello")
            stack.wait_until("COMPLETED", [done])
            wait_for(lambda: any(done in path.read_text() for path in tmp_path.glob("**/*.csv")))

        for spelling in SPELLINGS:
            for process in ("worker", "dispatcher"):
                answered = run(pair.url(spelling), "app.healthcheck", process)
                assert answered.returncode == 0, f"{spelling}: {answered.stderr}"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_command_works_with_the_server_that_can_be_written_to(pair, tmp_path, spelling):
    url = pair.url(spelling)

    migrated = run(url, "flask", "--app", "app", "db", "upgrade")
    taken = run(url, "flask", "--app", "app", "backup", str(tmp_path / "one"), "--json")
    restored = run(url, "flask", "--app", "app", "restore", str(tmp_path / "one"), "--replace", "--json")
    looked = run(url, "flask", "--app", "app", "doctor", "--json")

    for done in (migrated, taken, restored):
        assert done.returncode == 0, done.stderr
    points = [point for point in json.loads(looked.stdout)["findings"] if point["point"] == "migrations"]
    assert {point["state"] for point in points} == {"ok"}, looked.stdout


@pytest.fixture(params=["api", "worker", "heartbeat"])
def any_engine(request, pair, monkeypatch) -> Iterator[sa.Engine]:
    """An engine as each kind of process makes it, for both servers."""
    settings = load({"DATABASE_URL": pair.url("before the database"), "BROKER_URL": NO_BROKER})
    monkeypatch.setattr(heartbeat, "get_settings", lambda: settings)
    made = {
        "api": lambda: api_engine(settings),
        "worker": lambda: make_engine(settings),
        "heartbeat": heartbeat._short_waits,
    }
    engine = made[request.param]()
    yield engine
    engine.dispose()


def api_engine(settings: Settings) -> sa.Engine:
    application = create_app(settings)
    with application.app_context():
        engine: sa.Engine = application.extensions["sqlalchemy"].engine
        return engine


def port_of(engine: sa.Engine) -> int | None:
    with engine.connect() as connection:
        return connection.scalar(sa.text("SELECT inet_server_port()"))


def test_a_pool_leaves_a_server_that_takes_no_changes_any_more(pair, any_engine):
    switch_read_only(pair.read_only, "off")
    before = port_of(any_engine)

    switch_read_only(pair.read_only, "on")
    with pytest.raises(sa.exc.DBAPIError, match="read-only"), any_engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE never (id int)"))

    assert (before, port_of(any_engine)) == (pair.read_only.port, pair.writable.port)
