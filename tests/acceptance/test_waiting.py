"""A thousand tasks that wait, on a worker with two children: none of them holds a child, and all wake at once."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg2
import pytest
import sqlalchemy as sa

from app.database import Session
from tests.conftest import empty_broker_url
from tests.support.servers.databases import Databases
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack
from tests.support.signals import send_signal

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TASKS, BATCH, CHILDREN = 1_000, 200, 2
AT_ONCE_SECONDS = 5.0  # of a machine that does other things, too


@pytest.fixture(scope="module")
def stack(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """API, dispatcher, and a worker with two children."""
    url = databases.create(f"stack_{uuid4().hex[:8]}")
    with (
        Stack(database_url=url, broker_url=empty_broker_url(request), rate_limit_create="") as stack,
        stack.without_worker(),
        Worker(stack.environment, concurrency=CHILDREN),
    ):
        yield stack
    databases.drop(url)


def test_a_thousand_waits_hold_no_child_and_end_with_their_signals(stack):
    ids: list[str] = []
    for _ in range(TASKS // BATCH):
        answer = stack.post("/tasks/batch", {"tasks": [{"type": "wait_for_it", "payload": {}}] * BATCH})
        ids += [each["task"]["id"] for each in answer.json()["results"]]
    stack.wait_until("WAITING", ids, timeout=120)

    began = time.monotonic()
    plain = stack.submit("reverse_string", "abc")
    stack.wait_until("COMPLETED", [plain], timeout=20)
    assert time.monotonic() - began < AT_ONCE_SECONDS

    send(stack, ids)
    stack.wait_until("COMPLETED", ids, timeout=120)
    results = stack.rows("SELECT DISTINCT result FROM tasks WHERE type = 'wait_for_it'")
    assert results == [{"result": "go on"}]
    [wakes] = stack.rows(WAKES)
    assert wakes["n"] == TASKS


WAKES = "SELECT count(*) AS n FROM task_events WHERE previous_status = 'WAITING' AND status = 'PENDING'"


def send(stack: Stack, ids: list[str]) -> None:
    """Send each task its signal."""
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(stack.database_url), poolclass=sa.StaticPool
    )
    for task_id in ids:
        with Session(engine) as session, session.begin():
            send_signal(session, UUID(task_id), "go", "go on", now=datetime.now(UTC))
