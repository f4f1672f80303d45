"""What every test may ask for: a database, a broker, the application in this process, and moments to use."""

import gc
import os
import sys
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.database import Session
from tests.support.people import Person, make_admin
from tests.support.servers import connections, processes
from tests.support.servers.broker import Broker
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.stack import Stack

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from app.config import Settings

NO_RABBITMQ = (
    "RabbitMQ: TEST_BROKER_URL is not set and no rabbitmq-server is installed here "
    "(on Debian: apt-get install rabbitmq-server)"
)
NOT_PRIVATE = "RabbitMQ: this test stops and starts the server, so that it needs an installed rabbitmq-server"
ORDER = ("unit", "sdk", "integration", "acceptance", "conformance", "browser", "chaos", "containers")

_servers = pytest.StashKey["Servers"]()


class Servers:
    """The servers of a test run; their addresses are known from the beginning, each starts when it is first needed."""

    def __init__(self) -> None:
        configured = os.environ.get("TEST_DATABASE_URL")
        self.postgres = None if configured else PrivatePostgres()
        self.databases = Databases(configured or self.postgres.url())
        self.configured_broker = os.environ.get("TEST_BROKER_URL")
        self.rabbitmq: PrivateRabbitMQ | None = None
        self.database_url = self.databases.url_of("main")
        self.files = TemporaryDirectory(prefix="taskledger-tests-")

    def start_rabbitmq(self) -> PrivateRabbitMQ | None:
        """Begin to start the private one, if RabbitMQ is installed."""
        scripts = find_scripts()
        if self.rabbitmq is None and scripts is not None:
            self.rabbitmq = PrivateRabbitMQ(scripts).start()
        return self.rabbitmq

    def end(self) -> None:
        """Leave nothing behind."""
        self.files.cleanup()
        connections.KEPT.end()
        if self.postgres is None or self.postgres.is_running:
            self.databases.drop_all()
        for server in (self.postgres, self.rabbitmq):
            if server is not None:
                server.end()


def pytest_configure(config: pytest.Config) -> None:
    """Point this process at the tests' own database before anything of the application is imported."""
    servers = config.stash[_servers] = Servers()
    os.environ |= {"DATABASE_URL": servers.database_url, "BROKER_URL": NO_BROKER, "APP_ENV": "development"}
    os.environ["ARTIFACTS_URL"] = f"file://{servers.files.name}/artifacts"


def pytest_unconfigure(config: pytest.Config) -> None:
    if _servers in config.stash:
        config.stash[_servers].end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first; whoever stands on RabbitMQ is marked `broker`."""
    items.sort(key=_place)
    for item in items:
        if {"rabbitmq", "broker_url", "stack"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)


def _place(item: pytest.Item) -> int:
    folder = next(iter(item.path.relative_to(item.config.rootpath).parts[1:]), "")
    return ORDER.index(folder) if folder in ORDER else 0


def pytest_collection_finish(session: pytest.Session) -> None:
    """RabbitMQ needs seconds to start: let it begin while the quick tests run.

    Ten thousand tests are never garbage; looking at them again and again took an eighth of all processor time.
    """
    gc.collect()
    gc.freeze()
    servers = session.config.stash[_servers]
    is_wanted = any(item.get_closest_marker("broker") for item in session.items)
    if is_wanted and not session.config.option.collectonly and not servers.configured_broker:
        servers.start_rabbitmq()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Show the end of every process's log below a test that failed."""
    report = yield
    if report.failed:
        ours = [process for process in processes.RUNNING if not isinstance(process, PrivatePostgres | PrivateRabbitMQ)]
        logs = processes.ENDED | {process.title: process.tail for process in ours}
        report.sections.extend((f"log of {title}", tail) for title, tail in logs.items())
    return report


def pytest_runtest_setup() -> None:
    """What ended before this test has nothing to do with it."""
    processes.ENDED.clear()


def unavailable(reason: str) -> None:
    """Skip, or fail where REQUIRE_SERVICES says that nothing may be skipped (in CI)."""
    if os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Databases:
    """Makes migrated databases on the tests' PostgreSQL."""
    servers = pytestconfig.stash[_servers]
    if servers.postgres is not None and not servers.postgres.is_running:
        servers.postgres.start().wait_until_ready()
    return servers.databases


@pytest.fixture(scope="session")
def database_url(databases: Databases) -> str:
    """The migrated database of this process; DATABASE_URL names it, so that the application finds it too."""
    connections.KEPT.url = databases.create("main")
    return connections.KEPT.url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """The application's engine, for tests with several connections; all tables are empty again afterwards."""
    from app import database

    yield database.engine()
    _empty_all_tables()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """A session; what others shall see of its work, it commits."""
    with Session(engine) as session:
        yield session


def _empty_all_tables() -> None:
    connections.empty_all_tables()
    if known := sys.modules.get("app.services.remote.known"):
        known.TYPES.forget()  # remote types that a test declared are gone with their rows


@pytest.fixture(scope="session")
def settings(database_url: str) -> "Settings":
    """The settings of the application in this process; its broker refuses connections, and tests may hurry."""
    from app.config import load

    return load({"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER, "RATE_LIMIT_AUTH": ""})


@pytest.fixture(scope="session")
def application(settings: "Settings") -> "Flask":
    """The web application in this process."""
    from app.factory import create_app

    return create_app(settings)


@pytest.fixture
def anonymous(application: "Flask", engine: sa.Engine) -> "FlaskClient":
    """A client of the API in this process that sends no credential; the tables are emptied afterwards."""
    return application.test_client()


@pytest.fixture
def admin(engine: sa.Engine, database_url: str) -> Person:
    """Somebody who may do everything; gone with all tables afterwards."""
    return make_admin(database_url)


@pytest.fixture
def client(application: "Flask", admin: Person) -> "FlaskClient":
    """A client of the API in this process that is an admin's; the tables are emptied afterwards."""
    return admin.client(application)


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> PrivateRabbitMQ:
    """A RabbitMQ of the tests' own, which a test may stop, kill and freeze, and leaves running."""
    servers = pytestconfig.stash[_servers]
    server = servers.start_rabbitmq()
    if server is None:
        unavailable(NOT_PRIVATE if servers.configured_broker else NO_RABBITMQ)
    return server.wait_until_ready()


def empty_broker_url(request: pytest.FixtureRequest) -> str:
    """An empty virtual host of RabbitMQ; of a configured one, the one that its URL names, emptied."""
    configured = request.config.stash[_servers].configured_broker
    if configured:
        Broker(configured).delete_queues()
        return configured
    server: PrivateRabbitMQ = request.getfixturevalue("rabbitmq")
    return server.url(server.take_vhost())


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty virtual host of RabbitMQ for one test."""
    return empty_broker_url(request)


@pytest.fixture(scope="module")
def stack(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """API, worker and dispatcher for one module; its tests leave all of them running."""
    database_url = databases.create(f"stack_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)
