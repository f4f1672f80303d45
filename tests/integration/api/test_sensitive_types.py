"""A type that says sensitive=True: what lies in the row, who sees what, and what a worker gets."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sa

from app import config
from app.factory import create_app
from app.services import idempotency, lifecycle
from app.services.submission import Submission
from app.services.tasks.outcomes import Completed, Failed, Retrying
from app.worker import attempt, payload_keys
from app.worker.in_progress import Running
from tests.support.factories import HOLDER
from tests.support.people import make_admin, make_person

TASKS = "/api/v1/tasks"
CARD = {"number": "4111-1111-1111-1111"}
KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def settings_with_keys(settings, monkeypatch):
    """Settings with a key, for the API and for the worker's code in this process."""
    with_key = replace(settings, payload_keys=KEY)
    monkeypatch.setattr(payload_keys, "get_settings", lambda: with_key)
    return with_key


@pytest.fixture
def application(charge_card, settings_with_keys):
    return create_app(settings_with_keys)


@pytest.fixture
def owner(application, database_url, engine):
    return make_person(database_url).client(application)


def submit(client, number="4111-1111-1111-1111"):
    answer = client.post(TASKS, json={"type": "charge_card", "payload": {"number": number}})
    assert answer.status_code == 201, answer.text
    return answer.json


def test_what_an_idempotency_key_keeps_of_a_payload_cannot_be_tried_out(owner, session):
    body = {"type": "charge_card", "payload": CARD}
    batch = {"tasks": [{**body, "idempotency_key": "of an item"}]}

    first, again = (owner.post(TASKS, json=body, headers={"Idempotency-Key": "order-17"}) for _ in range(2))
    items = [owner.post(f"{TASKS}/batch", json=batch).json["results"][0]["status"] for _ in range(2)]

    assert (first.status_code, again.status_code, items) == (201, 200, [201, 200])
    kept = session.scalars(sa.text("SELECT fingerprint FROM idempotency_keys")).all()
    assert idempotency.fingerprint(Submission(**body).fingerprinted()) not in kept
    other = owner.post(TASKS, json=body | {"payload": {"number": "x"}}, headers={"Idempotency-Key": "order-17"})
    assert other.json["code"] == "idempotency_key_reused"


class _Stopper:
    def armed(self):
        from contextlib import nullcontext

        return nullcontext()


def run(session, charge_card, task_id, *, now):
    [held] = lifecycle.claim(session, "charge_card", [UUID(task_id)], holder=HOLDER, lease_seconds=60, now=now)
    running = Running(claim=held, timeout_seconds=300, grace_seconds=10)
    return held, attempt.run_attempt(charge_card, running, None, _Stopper())


def test_the_row_and_its_history_hold_the_payload_encrypted(owner, session):
    task = submit(owner)
    owner.patch(f"{TASKS}/{task['id']}", json={"payload": {"number": "4222-2222"}})

    rows = str(session.execute(sa.text("SELECT payload::text FROM tasks")).all())
    history = str(session.execute(sa.text("SELECT detail::text FROM task_events")).all())

    assert "$sealed" in rows
    assert "4111-1111" not in rows + history
    assert "4222-2222" not in rows + history


def test_the_owner_reads_it_and_an_admin_does_not(owner, application, database_url):
    task = submit(owner)
    admin = make_admin(database_url).client(application)

    assert task["payload"] == CARD
    assert owner.get(f"{TASKS}/{task['id']}").json["payload"] == CARD
    assert admin.get(f"{TASKS}/{task['id']}").json["payload"] == {"$redacted": True}
    assert "4111-1111" not in admin.get(TASKS).text


def test_a_worker_decrypts_the_payload_and_encrypts_the_result(owner, session, charge_card):
    from app.clock import utcnow
    from app.services.tasks import outcomes

    task = submit(owner)
    held, outcome = run(session, charge_card, task["id"], now=utcnow())
    assert isinstance(outcome, Completed)
    outcomes.record(session, [(held, outcome)], now=utcnow())
    session.commit()

    assert "4111-1111" not in str(session.execute(sa.text("SELECT * FROM tasks")).all())
    assert owner.get(f"{TASKS}/{task['id']}").json["result"] == {"charged": CARD["number"]}


def test_an_error_does_not_quote_the_payload(owner, session, charge_card):
    from app.clock import utcnow

    task = submit(owner, "broken")
    _, outcome = run(session, charge_card, task["id"], now=utcnow())

    assert isinstance(outcome, Retrying | Failed)
    assert outcome.failure.type == "ValueError"
    assert "broken" not in str(outcome.failure)


def test_a_worker_without_the_key_says_which_one_it_needs(owner, session, charge_card, settings, monkeypatch):
    from app.clock import utcnow

    task = submit(owner)
    monkeypatch.setattr(payload_keys, "get_settings", lambda: settings)
    _, outcome = run(session, charge_card, task["id"], now=utcnow())

    assert isinstance(outcome, Retrying)
    assert "not among PAYLOAD_KEYS" in outcome.failure.message


def test_without_a_key_a_sensitive_task_is_refused(charge_card, settings, database_url, engine):
    client = make_person(database_url).client(create_app(settings))

    answer = client.post(TASKS, json={"type": "charge_card", "payload": CARD})

    assert (answer.status_code, answer.json["code"]) == (422, "sealing_unavailable")


def test_a_payload_key_of_the_wrong_length_is_refused_at_the_start():
    from app.errors import SettingsError

    with pytest.raises(SettingsError, match="PAYLOAD_KEYS is refused: Key 2 is not 32 bytes"):
        config.load({"DATABASE_URL": "postgresql://h/d", "BROKER_URL": "amqp://h//", "PAYLOAD_KEYS": f"{KEY},short"})
