"""Accounts for tests: a person with a key, made in the database without the cost of a password."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg2

from app.services.accounts.secrets import digest, new_api_key, shown

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

EVERYTHING = ("tasks:read", "tasks:write", "admin")
READ_AND_WRITE = ("tasks:read", "tasks:write")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with an account and an API key."""

    id: UUID
    email: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def client(self, application: "Flask") -> "FlaskClient":
        """A client that sends their key with every request."""
        client = application.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.key}"
        return client


def make_person(
    database_url: str,
    *,
    role: str = "user",
    scopes: tuple[str, ...] = READ_AND_WRITE,
    password_hash: str = "no password fits this",
    email: str | None = None,
) -> Person:
    """Insert an account and a key."""
    person = Person(id=uuid4(), email=email or f"{uuid4().hex[:12]}@example.com", key=new_api_key())
    now = datetime.now(UTC)
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO users (id, email, name, password_hash, role, created_at, updated_at) "
                "VALUES (%s, %s, 'Ada', %s, %s, %s, %s)",
                (str(person.id), person.email, password_hash, role, now, now),
            )
    finally:
        connection.close()
    return make_key(database_url, person, scopes=scopes, key=person.key)


def make_key(database_url: str, person: Person, *, scopes: tuple[str, ...], key: str | None = None) -> Person:
    """The same person with another key."""
    key = key or new_api_key()
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO api_keys (id, user_id, name, prefix, digest, scopes, created_at) "
                "VALUES (%s, %s, 'test', %s, %s, %s, %s)",
                (str(uuid4()), str(person.id), shown(key), digest(key), list(scopes), datetime.now(UTC)),
            )
    finally:
        connection.close()
    return Person(id=person.id, email=person.email, key=key)


def make_admin(database_url: str) -> Person:
    """An admin with a key for everything."""
    return make_person(database_url, role="admin", scopes=EVERYTHING)
