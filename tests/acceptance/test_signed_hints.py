"""SIGN_HINTS on real parts: our own hints run, forged ones end among the dead letters."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from amqp.exceptions import NotFound

from tests.conftest import empty_broker_url
from tests.support.servers.databases import Databases
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for


@pytest.fixture(scope="module")
def signing(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """An installation whose hints are signed."""
    url = databases.create(f"signed_{uuid4().hex[:8]}")
    with Stack(database_url=url, broker_url=empty_broker_url(request), sign_hints="true") as stack:
        yield stack
    databases.drop(url)


def refused(stack: Stack) -> int:
    """How many dead letters there are; their queue is made with the first one."""
    try:
        return stack.broker.queue("tasks.dead").ready
    except NotFound:
        return 0


def test_a_signed_hint_runs_and_a_forged_one_does_not(signing: Stack):
    ours = signing.submit("reverse_string", "hello")
    later = signing.submit("reverse_string", "hello", scheduled_at="2099-01-01T00:00:00Z")
    signing.rows("UPDATE tasks SET status = 'PENDING', dispatched_at = now(), due_at = '2099-01-01' WHERE id = %(id)s",
                 {"id": later})  # fmt: skip

    signing.broker.publish_hint("reverse_string", [later])
    signing.wait_until("COMPLETED", [ours])
    wait_for(lambda: refused(signing) == 1, timeout=20)

    assert signing.task(later)["status"] == "PENDING"
