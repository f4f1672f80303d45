"""Receivers of webhooks that accept and never answer, or fail: nobody else waits for them, and no delivery is lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.conftest import empty_broker_url
from tests.support.people import Person, make_person
from tests.support.servers.programs import Sink
from tests.support.servers.receivers import Receiver
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

RECEIVERS, BATCH, SINGLES = 10, 20, 40
WAITED = """
SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds FROM tasks WHERE id = ANY(%(ids)s::uuid[])
"""
RUNNING = "SELECT count(*) AS n FROM admissions WHERE type = 'webhook_delivery' AND state IN ('out', 'running')"
UNDELIVERED = "SELECT count(*) AS n FROM webhook_deliveries WHERE delivered_at IS NULL"
DELIVERIES = "SELECT task_id::text, webhook_id::text FROM webhook_deliveries ORDER BY id"

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def installation(databases, request) -> Iterator[Stack]:
    """One worker of two slots, which takes from all queues, and the sink that makes deliveries."""
    url = databases.create(f"silent_{uuid4().hex[:8]}")
    with ExitStack() as closing:
        closing.callback(databases.drop, url)
        stack = closing.enter_context(
            Stack(database_url=url, broker_url=empty_broker_url(request), outbound_allow="127.0.0.1")
        )
        sink = Sink(stack.environment, "webhooks")
        closing.callback(sink.end)
        sink.start().wait_until_ready()
        yield stack


def call(stack: Stack, who: Person, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = requests.request(method, f"{stack.api.url}/api/v1{path}", json=body, headers=who.headers, timeout=30)
    assert answer.ok, answer.text
    return dict(answer.json())


def seconds_of_singles(stack: Stack, who: Person, count: int) -> list[float]:
    """From the acceptance to the end of tasks that are submitted one after the other."""
    ids = []
    for _ in range(count):
        ids.append(call(stack, who, "POST", "/tasks", {"type": "reverse_string", "payload": "mine"})["id"])
        time.sleep(0.1)
    stack.wait_until("COMPLETED", ids, timeout=60)
    return [row["seconds"] for row in stack.rows(WAITED, {"ids": ids})]


def test_another_account_does_not_wait_for_ten_silent_receivers(installation):
    stack = installation
    ada, ben = make_person(stack.database_url), make_person(stack.database_url)
    with ExitStack() as closing:
        receivers = [closing.enter_context(Receiver()) for _ in range(RECEIVERS)]
        for receiver in receivers:
            call(stack, ada, "POST", "/webhooks", {"url": receiver.url})
        items = [{"type": "reverse_string", "payload": "x"}] * BATCH
        call(stack, ada, "POST", "/tasks/batch", {"tasks": items})
        wait_for(lambda: sum(each.requests for each in receivers), timeout=30, what="a receiver was called")

        beside: list[float] = []
        running: list[int] = []
        for _ in range(SINGLES // 5):
            beside += seconds_of_singles(stack, ben, 5)
            running.append(stack.rows(RUNNING)[0]["n"])

        assert max(beside) < 3, beside
        assert max(running) == 1  # of two slots
        assert max(each.most_at_once for each in receivers) <= 2
        theirs = "SELECT DISTINCT owner_id::text, queue FROM tasks WHERE type = 'webhook_delivery'"
        assert stack.rows(theirs) == [{"owner_id": str(ada.id), "queue": "webhooks"}]

        for receiver in receivers:
            receiver.answer(204)
        wait_for(lambda: stack.rows(UNDELIVERED)[0]["n"] == 0, timeout=90, what="everything is delivered")
        assert len(stack.rows(DELIVERIES)) == RECEIVERS * BATCH


def test_a_receiver_that_fails_is_left_alone_and_then_gets_everything(installation):
    stack = installation
    ada = make_person(stack.database_url)
    with Receiver(503) as receiver:
        webhook = call(stack, ada, "POST", "/webhooks", {"url": receiver.url})["id"]
        items = [{"type": "reverse_string", "payload": "x"}] * BATCH
        call(stack, ada, "POST", "/tasks/batch", {"tasks": items})

        def circuit() -> dict[str, Any]:
            return dict(call(stack, ada, "GET", f"/webhooks/{webhook}")["circuit"])

        wait_for(lambda: circuit()["state"] == "open", timeout=60, what="the circuit is open")
        wait_for(lambda: stack.rows(RUNNING)[0]["n"] == 0, timeout=10, what="none is on its way")
        attempts, found = receiver.requests, circuit()
        wait_for(lambda: len(stack.rows(DELIVERIES)) == BATCH, timeout=30)
        held = stack.rows("SELECT task_id::text AS id FROM admissions WHERE state = 'held'")
        answer = call(stack, ada, "GET", f"/tasks/{held[0]['id']}/why")

        assert attempts <= 7  # five, and those that were on their way
        assert (found["failures"] >= 5, found["reason"]) == (True, "it answered 503")
        assert answer["cause"] == "circuit_open"
        assert answer["next_at"] == found["retry_at"]
        assert call(stack, ada, "GET", "/tasks")["items"][0]["type"] == "reverse_string"

        receiver.answer(204)
        call(stack, ada, "POST", f"/webhooks/{webhook}/test")
        wait_for(lambda: stack.rows(UNDELIVERED)[0]["n"] == 0, timeout=90, what="everything is delivered")

        assert circuit()["state"] == "closed"
        assert receiver.requests == attempts + BATCH + 1
