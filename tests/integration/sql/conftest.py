"""What these tests share: roles that log in, task types that the database knows, and the two ways to do a thing."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.services.sql import published, roles
from taskledger_sdk.registry import load_types
from tests.support.people import Person, make_person
from tests.support.servers.rows import fetched
from tests.support.servers.waiting import wait_for


class Psql:
    """A connection of a person's own, as psql and DBeaver have one; every statement is committed."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url, options="-c timezone=UTC")
        self.connection.autocommit = True

    def __call__(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement, values or None)
            return [dict(row) for row in fetched(cursor)]

    def one(self, statement: str, *values: Any) -> Any:
        """The only value of the only row."""
        [row] = self(statement, *values)
        [value] = row.values()
        return value


@pytest.fixture
def known_types(session, settings) -> None:
    """The database knows the task types, as after `setup`."""
    published.types(session, load_types().values(), now=utcnow())
    published.limits(session, settings, now=utcnow())
    session.commit()


@pytest.fixture
def psql(database_url: str) -> Iterator[Psql]:
    """As the role that owns the tables."""
    connection = Psql(database_url)
    yield connection
    connection.connection.close()


@pytest.fixture
def person(engine: sa.Engine, database_url: str) -> Person:
    """Somebody with an account who is no admin."""
    return make_person(database_url)


LogIn = Callable[..., Psql]


@pytest.fixture
def log_in(session, database_url: str, psql: Psql) -> Iterator[LogIn]:
    """Make a role for an account, and log in with it."""
    opened: list[tuple[str, Psql]] = []

    def logged_in(owner: Person, *, operates: bool = True, reads_all: bool = False) -> Psql:
        name = f"test_{uuid4().hex[:12]}"
        roles.create(session)
        roles.make_login(session, name, "secret")
        roles.add(session, name, owner.id, operates=operates, reads_all=reads_all, now=utcnow())
        session.commit()
        url = sa.make_url(database_url).set(username=name, password="secret")
        connection = Psql(url.render_as_string(hide_password=False))
        opened.append((name, connection))
        return connection

    yield logged_in
    session.rollback()
    for name, connection in opened:
        connection.connection.close()
        # The server drops what was temporary in a session after its client has gone; the role cannot go before that.
        wait_for(lambda name=name: not psql("SELECT pid FROM pg_stat_activity WHERE usename = %s", name))
        psql(f"REVOKE taskledger_read, taskledger_operate FROM {name}")
        psql(f"DROP ROLE {name}")
