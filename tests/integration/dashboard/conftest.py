"""Clients that are logged in, and rows to look at."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.database import Session, transaction
from app.services.accounts import sessions
from tests.integration.api.conftest import store  # noqa: F401 (a fixture)
from tests.support.people import Person, make_admin, make_person

LogIn = Callable[[Person], FlaskClient]
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture
def log_in(application: Flask, engine) -> LogIn:
    """A client with the session of somebody, made without the cost of a password."""

    def logged_in(person: Person) -> FlaskClient:
        client = application.test_client()
        with transaction() as session:
            whence = {"address": "127.0.0.1", "now": datetime.now(UTC)}
            candidate = sessions.candidate(session, person.email, **whence)
            begun = sessions.begin(session, candidate, person.email, **whence)
        assert begun is not None
        who = {"user": str(person.id), "version": begun.claims.version, "family": str(begun.claims.family)}
        with client.session_transaction() as cookie:
            cookie.permanent = True
            cookie["who"] = who
            cookie["csrf"] = "the token"
        return client

    return logged_in


@pytest.fixture
def somebody(database_url: str, engine) -> Person:
    """A user."""
    return make_person(database_url)


@pytest.fixture
def page(log_in: LogIn, somebody: Person) -> FlaskClient:
    """A user who is logged in."""
    return log_in(somebody)


@pytest.fixture
def boss(log_in: LogIn, database_url: str, engine) -> FlaskClient:
    """An admin who is logged in."""
    return log_in(make_admin(database_url))


def send(client: FlaskClient, path: str, **fields: object):
    """Send a form, with its token."""
    return client.post(path, data={"csrf": "the token", **fields})


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def saved(session: Session) -> Session:
    return session
