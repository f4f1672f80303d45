"""/health: what is told when something is missing, and how fast."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from app import clock
from app.api import health
from app.factory import create_app

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

    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_a_broker_that_refuses_connections_is_named(client: FlaskClient, looked: Look):
    looked(timedelta())

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
