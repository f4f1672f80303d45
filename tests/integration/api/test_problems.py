"""Errors that are not the caller's: what is told, and what is not."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from app.factory import create_app
from app.services.tasks import records as task_service
from tests.integration.api.conftest import TASKS, Submit


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_a_fault_of_ours_tells_an_id_and_nothing_else(client: FlaskClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_service, "find", raising(RuntimeError("sekret in /srv/app/x.py")))

    answer = client.get(TASKS, headers={"X-Request-ID": "abc-1"})

    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "abc-1" in answer.json["detail"]
    assert "sekret" not in answer.text
    assert "RuntimeError" not in answer.text


def test_a_fault_of_ours_is_logged_under_that_id(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(task_service, "find", raising(RuntimeError("the reason")))

    client.get(TASKS, headers={"X-Request-ID": "abc-2"})

    logged = capsys.readouterr().err
    assert "request_failed" in logged
    assert "the reason" in logged
    assert "abc-2" in logged


def test_a_query_that_takes_too_long_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch):
    def slow(session: Any, *_: Any, **__: Any) -> None:
        session.execute(sa.text("SET statement_timeout = 20"))
        try:
            session.execute(sa.text("SELECT pg_sleep(5)"))
        finally:
            session.execute(sa.text("SET statement_timeout = 30000"))

    monkeypatch.setattr(task_service, "find", slow)

    answer = client.get(TASKS)

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert "narrower" in answer.json["detail"]


@pytest.fixture
def without_database(settings: Any) -> Flask:
    """The application, with a database that refuses connections."""
    from dataclasses import replace

    return create_app(replace(settings, database_url="postgresql://u:sekret@127.0.0.1:1/nowhere"))


def test_a_database_that_is_away_is_503(without_database: Flask):
    key = {"Authorization": "Bearer tl_whose-account-cannot-be-looked-up"}
    answer = without_database.test_client().post(TASKS, json={"type": "reverse_string", "payload": "x"}, headers=key)

    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["code"] == "database_unavailable"
    assert answer.headers["Retry-After"]
    assert "sekret" not in answer.text


def test_connections_that_died_while_they_rested_are_replaced(
    client: FlaskClient, application: Flask, submit: Submit, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
):
    from app.web import transactions

    submit()
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'taskledger-api'"
            )
        )
    monkeypatch.setattr(transactions, "IDLE_SECONDS", 0)

    assert client.get(TASKS).status_code == 200


def test_the_callers_request_id_is_returned(client: FlaskClient):
    assert client.get("/health/live", headers={"X-Request-ID": "order-7:3"}).headers["X-Request-ID"] == "order-7:3"


@pytest.mark.parametrize("id_", ["", "a b", "x" * 129, 'a"b', "é"])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(client: FlaskClient, id_: str):
    returned = client.get("/health/live", headers={"X-Request-ID": id_}).headers["X-Request-ID"]

    assert returned != id_
    assert len(returned) == 16
