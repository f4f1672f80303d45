"""RabbitMQ's queues as the setting wants them, and as an operator declares them beforehand."""

import json
import subprocess
import sys
from uuid import uuid4

import pytest

from tests.conformance.brokers import BROKERS
from tests.conformance.evidence import assert_each_ended_once
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

RABBITMQS = [name for name in BROKERS if name in ("rabbitmq", "rabbitmq-4")]
pytestmark = pytest.mark.parametrize("broker_name", RABBITMQS, indirect=True)


@pytest.fixture
def start(databases, server):
    """An installation on a virtual host of its own."""

    def make(vhost: str, **settings: str) -> Stack:
        database_url = databases.create(f"topology_{uuid4().hex[:8]}")
        return Stack(database_url=database_url, broker_url=server.url(vhost), **settings)

    return make


def _queues(server, vhost: str) -> dict[str, str]:
    lines = server.ctl("list_queues", "-p", vhost, "name", "type", "--no-table-headers").splitlines()
    return dict(line.split("\t") for line in lines if "\t" in line)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_what_an_operator_declared_is_what_the_programs_expect(queue_type, server, start):
    vhost = server.take_vhost()
    command = [sys.executable, "-m", "tasks.topology", queue_type, vhost]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    server.import_definitions(made)
    assert _queues(server, vhost)["tasks"].rpartition("_")[2] == queue_type
    assert json.loads(server.ctl("list_policies", "-p", vhost, "--formatter", "json"))

    with start(vhost, queue_type=queue_type) as stack:
        ids = [stack.submit("uppercase_text", f"number {number}") for number in range(30)]
        high = stack.submit("reverse_string", "high", priority="high")
        failing = stack.submit("fail_twice", "", max_retries=1)
        stack.wait_until("COMPLETED", [*ids, high], timeout=40)
        stack.wait_until("FAILED", [failing], timeout=20)
        stack.broker.publish_hint("no_such_type", [str(uuid4())])
        wait_for(lambda: stack.broker.ready("tasks.dead") >= 2, timeout=15, what="dead letters")

        assert_each_ended_once(stack, [*ids, high])
        assert "PRECONDITION_FAILED" not in stack.worker.log + stack.dispatcher.log + stack.api.log
