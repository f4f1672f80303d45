"""/health: what is told when something is missing, and how fast."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app import clock
from app.api.service import health
from app.database import Session
from app.factory import create_app
from app.version import VERSION
from tests.support.people import make_person
from tests.support.servers.waiting import wait_for

Look = Callable[[timedelta], None]


@pytest.fixture
def broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the broker were there."""
    monkeypatch.setattr(health, "broker_fault", lambda: None)


@pytest.fixture
def looked(session: Session) -> Look:
    """Let the dispatcher's last look be so long ago."""

    def looked(ago: timedelta) -> None:
        session.execute(
            sa.text(
                "INSERT INTO duties (name, node, last_success_at, last_error) VALUES ('dispatch', 'n', :at, 'why')"
            ),
            {"at": clock.utcnow() - ago},
        )
        session.commit()

    return looked


def faults(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["code"] == "not_ready"
    return dict(answer.json["errors"])


def test_a_process_that_answers_lives(client: FlaskClient):
    assert client.get("/health/live").json == {"status": "live"}


@pytest.mark.usefixtures("broker_answers")
def test_it_is_ready_when_all_is_there(client: FlaskClient, looked: Look):
    looked(timedelta(seconds=2))

    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json) == (200, {"status": "ready", "version": VERSION})


def test_a_broker_that_refuses_connections_is_named(client: FlaskClient, looked: Look):
    looked(timedelta())

    assert list(faults(client)) == ["broker"]


def test_a_hint_that_the_ledger_keeps_says_nothing_of_the_broker(client: FlaskClient, session: Session, looked: Look):
    looked(timedelta())
    declared = {"name": "shout_elsewhere", "schema": {"type": "string"}}
    assert client.post("/api/v1/task-types", json=declared).status_code == 201
    assert client.post("/api/v1/tasks", json={"type": "shout_elsewhere", "payload": "a"}).status_code == 201
    wait_for(lambda: session.scalar(sa.text("SELECT count(*) FROM hints")) == 1)

    assert list(faults(client)) == ["broker"]


@pytest.mark.usefixtures("broker_answers")
def test_a_dispatcher_that_never_looked_is_named(client: FlaskClient):
    [message] = faults(client)["dispatcher"]

    assert "celery -A tasks beat" in message


@pytest.mark.usefixtures("broker_answers")
def test_a_dispatcher_that_looked_too_long_ago_is_named_with_its_reason(client: FlaskClient, looked: Look):
    looked(timedelta(seconds=90))

    [message] = faults(client)["dispatcher"]
    assert "for 9" in message
    assert "why" in message


@pytest.mark.usefixtures("broker_answers")
def test_a_database_that_is_away_is_named_without_its_password(settings: Any):
    app = create_app(replace(settings, database_url="postgresql://u:sekret@127.0.0.1:1/nowhere"))

    found = faults(app.test_client())

    assert set(found) == {"database", "dispatcher"}
    assert "sekret" not in str(found)


def test_a_part_that_hangs_does_not_hold_the_answer(client: FlaskClient, looked: Look, monkeypatch: pytest.MonkeyPatch):
    looked(timedelta())
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(health, "broker_fault", lambda: time.sleep(3))

    started = time.monotonic()
    found = faults(client)

    assert time.monotonic() - started < 2.5
    assert "no answer" in found["broker"][0]


UNREACHABLE = "postgresql://somebody:sekret@127.0.0.1:1/nowhere"


def test_strangers_learn_what_is_missing_and_not_where_it_is(settings: Any):
    client = create_app(replace(settings, database_url=UNREACHABLE)).test_client()

    answer = client.get("/health/ready")

    assert set(answer.json["errors"]) >= {"database", "dispatcher", "broker"}
    assert not any(told in answer.text for told in ("127.0.0.1", "somebody", "port", "refused"))


def test_accounts_are_strangers_here_unless_they_are_admins(
    application: Any, client: FlaskClient, database_url: str, looked: Look
):
    looked(timedelta())
    somebody = make_person(database_url).client(application)

    assert faults(somebody)["broker"] == ["does not answer"]
    assert "refused" in faults(client)["broker"][0]


@pytest.mark.parametrize(("sent", "knows"), [("the-token-of-probes", True), ("the-token-of-probe", False), ("", False)])
def test_who_has_the_token_of_probes_is_told_why(settings: Any, sent: str, knows: bool):
    app = create_app(replace(settings, database_url=UNREACHABLE, probe_token="the-token-of-probes"))
    headers = {"Authorization": f"Bearer {sent}"} if sent else {}

    told = app.test_client().get("/health/ready", headers=headers).text

    assert ("port 1 failed" in told) is knows
    assert "sekret" not in told


def test_addresses_of_scrapers_are_told_why(settings: Any):
    app = create_app(replace(settings, database_url=UNREACHABLE, metrics_allow="127.0.0.0/8"))

    assert "port 1 failed" in app.test_client().get("/health/ready").text


def test_many_who_ask_at_once_cost_one_look_or_two(client: FlaskClient, application: Any, monkeypatch: Any):
    looks = []
    monkeypatch.setattr(health, "_faults", lambda _: looks.append(time.sleep(0.3)) or {})

    with ThreadPoolExecutor(10) as askers:
        answers = list(askers.map(lambda _: application.test_client().get("/health/ready").status_code, range(10)))

    assert set(answers) == {200}
    assert len(looks) <= 3
