"""How long a delivery is tried, whatever the receiver's Retry-After says; attempt for attempt, with moved rows."""

import random
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.models import DeliveryRecord
from app.services import webhooks
from taskledger_sdk.registry import get_type
from tests.support.factories import read_task
from tests.support.people import make_person
from tests.support.servers.attempts import run_attempt
from tests.support.servers.raw_server import RawServer

MAX_ATTEMPTS = 20
DUE_AND_DISPATCHED = sa.text("UPDATE tasks SET status = 'PENDING', dispatched_at = now(), due_at = now()")


@pytest.fixture
def owner(database_url, engine):
    return make_person(database_url)


def answer(said: str) -> bytes:
    return f"HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n".encode()


def tried(session, url: str, owner_id) -> tuple[list[timedelta], DeliveryRecord]:
    """The pauses after each attempt until it is given up, and the delivery; nothing is waited for."""
    now = clock.utcnow()
    wanted = webhooks.NewWebhook(url=url)
    webhook, _ = webhooks.create(session, wanted, owner_id=owner_id, key=None, keys=(), now=now)
    delivery, pauses = webhooks.send_test(session, webhook.id, owner=None, now=now), []
    for _ in range(MAX_ATTEMPTS):
        session.execute(DUE_AND_DISPATCHED)
        session.commit()
        began = clock.utcnow()
        run_attempt("webhook_delivery", delivery.task_id)
        session.rollback()
        task = read_task(session, delivery.task_id)
        if task.status == "FAILED":
            break
        pauses.append(task.due_at - began)
    [delivery], _ = webhooks.find_deliveries(session, webhook.id, owner=None, before=None, limit=5)
    return pauses, delivery


@pytest.mark.parametrize(
    "said",
    [
        "429 Busy\r\nRetry-After: 0",
        "503 Away\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT",
        "503 Away\r\nRetry-After: at once",
        "500 Broken",
    ],
)
@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_no_receiver_makes_a_delivery_give_up_before_its_time(session, owner, monkeypatch, said, drawn):
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")
    monkeypatch.setattr(random, "random", lambda: drawn)
    policy = get_type("webhook_delivery").retry

    with RawServer([answer(said)]) as receiver:
        pauses, delivery = tried(session, receiver.url, owner.id)

    least, most = policy.pauses()
    assert (len(receiver.received), len(pauses)) == (policy.max_retries + 1, policy.max_retries)
    assert least <= sum(pauses, timedelta()) <= most + timedelta(minutes=1)
    assert all(pause >= policy.delay(number, lambda: 0.0) for number, pause in enumerate(pauses, 1))
    assert len(delivery.attempts) == 13


def test_a_receiver_that_asks_for_a_longer_pause_gets_it_up_to_a_day(session, owner, monkeypatch):
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")

    with RawServer([answer("429 Busy\r\nRetry-After: 99999999")]) as receiver:
        pauses, _ = tried(session, receiver.url, owner.id)

    assert {round(pause / timedelta(hours=1)) for pause in pauses} == {24}


def test_the_moments_of_attempts_look_like_all_others(session, owner, application, monkeypatch):
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")
    with RawServer([answer("410 Gone")]) as receiver:
        _, delivery = tried(session, receiver.url, owner.id)
    path = f"/api/v1/webhooks/{delivery.webhook_id}/deliveries"

    def shown() -> str:
        return owner.client(application).get(path).json["items"][0]["attempts"][0]["at"]

    new = shown()
    session.execute(sa.text('UPDATE webhook_deliveries SET attempts = \'[{"at": "2026-11-22T07:12:00.5+00:00"}]\''))
    session.commit()

    assert new.endswith("Z")
    assert datetime.fromisoformat(new).tzinfo is not None
    assert shown() == "2026-11-22T07:12:00.500000Z"
