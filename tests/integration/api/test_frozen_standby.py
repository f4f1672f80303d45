"""A database whose commits wait for ever, as with a synchronous standby that is frozen: the API stays reachable."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
import requests

from app.web import database_deadline
from app.web.database_deadline import CONNECT_ARGS, CUT_AFTER_SECONDS, LOOK_SECONDS, WATCH
from tests.support.people import Person, make_person
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.long

TASK = {"type": "reverse_string", "payload": "hello"}
THREADS = 4


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database of this file's own: the setting holds for the whole server."""
    with PrivatePostgres(durable=True) as server:
        yield Databases(server.url()).create("main")


@pytest.fixture
def frozen_standby(url) -> Iterator[None]:
    """Commits wait for a standby that never answers: no standby has this name."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit = local")

    def configure(names: str) -> None:
        cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        cursor.execute("SELECT pg_reload_conf()")

    def waits() -> bool:
        cursor.execute("SHOW synchronous_standby_names")
        return cursor.fetchone() == ("gone",)

    configure("gone")
    wait_for(waits)
    time.sleep(0.5)  # the other processes of the server take it over a moment later
    yield
    configure("")
    connection.close()


def test_health_answers_while_every_thread_waits_in_a_commit(url, monkeypatch, request):
    person = _person(url, monkeypatch)
    environment = service_environment(database_url=url, broker_url=NO_BROKER, database_answer_seconds="4")
    with Api(environment, threads=THREADS) as api:
        request.getfixturevalue("frozen_standby")
        with ThreadPoolExecutor(2 * THREADS) as callers:
            answers = [callers.submit(_submit, api, person) for _ in range(2 * THREADS)]
            wait_for(lambda: _waiting_for_standby(url) > 0)
            for _ in range(10):
                began = time.monotonic()
                assert requests.get(f"{api.url}/health/live", timeout=5).ok
                assert requests.get(f"{api.url}/health/ready", timeout=5).status_code == 503  # no broker, no dispatcher
                assert time.monotonic() - began < 3
            # Each is told, in time; and none of PostgreSQL's processes goes on waiting for it.
            statuses = {answer.result(timeout=100) for answer in answers}
        assert statuses == {503}
        wait_for(lambda: _waiting_for_standby(url) == 0)


@pytest.mark.parametrize("way", ["autocommit", "commit"])
def test_a_commit_that_was_cancelled_counts_as_failed_although_postgres_says_that_it_is_done(
    url, monkeypatch, way, frozen_standby
):
    monkeypatch.setattr(WATCH, "statement_seconds", 1.0)
    monkeypatch.setattr(WATCH, "commit_seconds", 1.0)
    connection = psycopg2.connect(url, **CONNECT_ARGS)
    connection.autocommit = way == "autocommit"
    began = time.monotonic()

    def change() -> None:
        connection.cursor().execute(f"CREATE TABLE made_by_{way} ()")
        connection.commit()

    with pytest.raises(psycopg2.OperationalError, match="may have been"):
        change()

    assert connection.closed
    assert time.monotonic() - began < 1 + 2 * LOOK_SECONDS + CUT_AFTER_SECONDS


def test_a_server_that_does_not_even_cancel_is_cut_off(url, monkeypatch):
    monkeypatch.setattr(WATCH, "statement_seconds", 0.5)
    monkeypatch.setattr(database_deadline.Connection, "cancel_quietly", lambda self: None)
    connection = psycopg2.connect(url, **CONNECT_ARGS)
    began = time.monotonic()

    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT pg_sleep(60)")

    assert time.monotonic() - began < 0.5 + 3 * LOOK_SECONDS + CUT_AFTER_SECONDS


def test_what_is_answered_in_time_is_left_alone(url, monkeypatch):
    monkeypatch.setattr(WATCH, "statement_seconds", 1.0)
    connection = psycopg2.connect(url, **CONNECT_ARGS)
    with connection, connection.cursor() as cursor:
        for _ in range(4):
            cursor.execute("SELECT pg_sleep(0.4)")  # together longer than one may take

    assert not connection.closed
    connection.close()


def _person(url: str, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setenv("DATABASE_URL", url)
    return make_person(url)


def _submit(api: Api, person: Person) -> int:
    answer = requests.post(f"{api.url}/api/v1/tasks", json=TASK, headers=person.headers, timeout=90)
    return answer.status_code


def _waiting_for_standby(url: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            found: int = cursor.fetchone()[0]
            return found
    finally:
        connection.close()
