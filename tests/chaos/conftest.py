"""Fixtures of the scenarios: servers that may be killed, installations on them, and the ledger that is printed."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.chaos.ledger import Ledger
from tests.support.servers.databases import Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.rabbitmq import PrivateRabbitMQ
from tests.support.servers.stack import Stack

LEDGER = "ledger"
SHORT = {"lease_seconds": "6", "shutdown_grace_seconds": "2"}
"""Settings that let a scenario end soon."""

MAX_FIRST = (
    "test_term",
    "test_refusing_brokers",
    "test_stalls",
    "test_long_work",
    "test_storm",
    "test_shutdown",
    "test_invoice_runs",
    "test_adoption",
    "test_durable",
    "test_lost_workers",
    "test_fairness",
    "test_order",
    "test_database_outage",
    "test_misbehaving_handlers",
    "test_repairs",
    "test_remote_workers",
    "test_sinks",
)
"""Some processes share the files: what takes longest must not come last."""

MakeStack = Callable[..., Stack]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first; everything else stays where it is."""
    places = {name: place for place, name in enumerate(MAX_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Notes of what happened; printed at the end of the run, and below the test when it fails."""
    ledger = Ledger()
    yield ledger
    print(ledger.text)
    request.node.user_properties.append((LEDGER, ledger.text))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the ledgers, in the order of the tests; in processes of xdist they would be lost otherwise."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            text = dict(getattr(report, "user_properties", ())).get(LEDGER)
            if text and report.when == "teardown":
                terminalreporter.section(report.nodeid, sep="-")
                terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL that a scenario may stop and kill, and leaves running."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="session")
def chaos_databases(postgres: PrivatePostgres) -> Databases:
    """Migrated databases on it; they go with the server."""
    return Databases(postgres.url())


@pytest.fixture
def make_stack(chaos_databases: Databases, rabbitmq: PrivateRabbitMQ) -> Iterator[MakeStack]:
    """Start an installation: `make_stack(lease_seconds="6")`; `change` is called before it starts."""
    with ExitStack() as closing:

        def make(*, change: Callable[[Stack], None] | None = None, **settings: str) -> Stack:
            stack = _installation(chaos_databases, rabbitmq, **settings)
            if change:
                change(stack)
            return closing.enter_context(stack)

        yield make


@pytest.fixture(scope="module")
def short_stack(chaos_databases: Databases, rabbitmq: PrivateRabbitMQ) -> Iterator[Stack]:
    """API, worker and dispatcher with short settings for the scenarios of a module, which leave all of them running."""
    with _installation(chaos_databases, rabbitmq, **SHORT) as stack:
        yield stack


def _installation(databases: Databases, rabbitmq: PrivateRabbitMQ, **settings: str) -> Stack:
    database_url = databases.create(f"chaos_{uuid4().hex[:8]}")
    return Stack(database_url=database_url, broker_url=rabbitmq.url(rabbitmq.take_vhost()), **settings)


@pytest.fixture(scope="session")
def settable_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that, loaded first, gives a process another time of day, and leaves its steady clocks alone.

    libfaketime cannot do that: Python's sleep fails under it where the monotonic clock is left alone.
    """
    library = tmp_path_factory.mktemp("clock") / "settable_clock.so"
    source = Path(__file__).with_name("settable_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
    return library
