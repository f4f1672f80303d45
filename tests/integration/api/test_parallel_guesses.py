"""Many wrong passwords at the same moment: no more are checked than may fail in a row."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from app.factory import create_app
from app.services.accounts import backoff, passwords
from tests.support.people import make_person

LOG_IN = "/api/v1/auth/login"
RIGHT, MANY = "three random words", 25


@pytest.fixture
def checked(monkeypatch):
    """The passwords that were looked at."""
    seen: list[str] = []
    check = passwords.matches
    monkeypatch.setattr(passwords, "HASHER", passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_nobody", [])
    monkeypatch.setattr(passwords, "matches", lambda hash_, password: seen.append(password) or check(hash_, password))
    return seen


def answers(applications, email, *, address="192.0.2.7", password="wrong words here"):
    """The statuses of requests that start together, spread over the applications."""
    start = Barrier(MANY)

    def ask(number: int) -> int:
        client = applications[number % len(applications)].test_client()
        start.wait()
        sent = {"email": email, "password": f"{password}"}
        return client.post(LOG_IN, json=sent, environ_base={"REMOTE_ADDR": address}).status_code

    with ThreadPoolExecutor(MANY) as pool:
        return Counter(pool.map(ask, range(MANY)))


@pytest.mark.parametrize("is_known", [True, False])
def test_of_many_wrong_log_ins_at_once_five_are_checked(application, settings, engine, database_url, checked, is_known):
    email = make_person(database_url, password_hash=passwords.hashed(RIGHT)).email if is_known else "no@example.com"

    found = answers([application, create_app(settings)], email)

    assert found == {401: backoff.FREE_FAILURES, 429: MANY - backoff.FREE_FAILURES}
    assert len(checked) == backoff.FREE_FAILURES


def test_the_owner_logs_in_from_elsewhere_meanwhile(application, anonymous, database_url, checked, session):
    email = make_person(database_url, password_hash=passwords.hashed(RIGHT)).email
    answers([application], email)

    sent = {"email": email, "password": RIGHT}
    elsewhere = anonymous.post(LOG_IN, json=sent, environ_base={"REMOTE_ADDR": "192.0.2.8"})

    assert elsewhere.status_code == 200
    kept = session.execute(sa.text("SELECT address, failures FROM login_failures")).all()
    assert kept == [("192.0.2.7", backoff.FREE_FAILURES)]


def test_what_was_not_checked_is_not_held_against_anybody(anonymous, database_url, session, monkeypatch):
    email = make_person(database_url).email

    def busy(*_):
        raise passwords.TooManyChecks("Too many passwords are being checked at once.")

    monkeypatch.setattr(passwords, "matches", busy)

    statuses = {anonymous.post(LOG_IN, json={"email": email, "password": RIGHT}).status_code for _ in range(9)}

    assert statuses == {503}
    assert session.scalar(sa.text("SELECT max(failures) FROM login_failures")) == 0
