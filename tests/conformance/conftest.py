"""One installation on each broker that is present, and who was there."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.brokers import BROKERS, NEEDED, QUEUE_TYPES, PrivateBroker
from tests.conftest import unavailable
from tests.support.servers.databases import Databases
from tests.support.servers.stack import Stack

HERE = Path(__file__).parent
SHORT = {"lease_seconds": "6", "shutdown_grace_seconds": "2", "aging_seconds": "5"}
"""Settings that let a test end soon."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a broker run in one process of xdist, with its servers."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.conformance)
        callspec = getattr(item, "callspec", None)
        group = callspec.params.get("broker_name", "nats") if callspec else "nats"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", params=BROKERS)
def broker_name(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    return request.param


@pytest.fixture(scope="session")
def server(broker_name: str) -> Iterator[PrivateBroker]:
    """A server that a test may stop, kill and freeze, and leaves running."""
    made = BROKERS[broker_name]()
    if made is None:
        unavailable(f"{broker_name} is not here: {NEEDED.get(broker_name, 'its server is not installed')}")
    with made:
        yield made


@pytest.fixture(scope="session")
def stack(databases: Databases, server: PrivateBroker, broker_name: str) -> Iterator[Stack]:
    """API, worker and dispatcher on it; tests leave all of them running."""
    database_url = databases.create(f"conformance_{uuid4().hex[:8]}")
    settings = SHORT | {"queue_type": QUEUE_TYPES.get(broker_name, "classic")}
    with Stack(database_url=database_url, broker_url=server.new_url(), **settings) as stack:
        yield stack


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which brokers were there."""
    reports = [report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, ())]
    # The longest name that fits: the one of RabbitMQ 4 begins as the one of RabbitMQ 3.
    named = [max((name for name in BROKERS if f"[{name}" in report.nodeid), key=len, default="") for report in reports]
    ran = Counter(named)
    terminalreporter.section("brokers")
    for name in BROKERS:
        count = ran[name]
        terminalreporter.write_line(f"{name}: {f'{count} tests' if count else 'not present, nothing was tested'}")
