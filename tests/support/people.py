"""Accounts for tests: a person with a key, made in the database without the cost of a password."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from app.services.accounts.secrets import digest, new_api_key, shown
from tests.support.servers.connections import transaction

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
    with transaction(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (id, email, name, password_hash, role, created_at, updated_at) "
            "VALUES (%s, %s, 'Ada', %s, %s, %s, %s)",
            (str(person.id), person.email, password_hash, role, now, now),
        )
        _insert_key(cursor, person, person.key, scopes)
    return person


def make_key(
    database_url: str,
    person: Person,
    *,
    scopes: tuple[str, ...],
    key: str | None = None,
    allowed_types: list[str] | None = None,
) -> Person:
    """The same person with another key. A key for all types can be made on the tables of older versions, too."""
    key = key or new_api_key()
    with transaction(database_url) as connection, connection.cursor() as cursor:
        key_id = _insert_key(cursor, person, key, scopes)
        if allowed_types is not None:
            cursor.execute("UPDATE api_keys SET allowed_types = %s WHERE id = %s", (allowed_types, key_id))
    return Person(id=person.id, email=person.email, key=key)


def _insert_key(cursor: Any, person: Person, key: str, scopes: tuple[str, ...]) -> str:
    key_id = str(uuid4())
    cursor.execute(
        "INSERT INTO api_keys (id, user_id, name, prefix, digest, scopes, created_at) "
        "VALUES (%s, %s, 'test', %s, %s, %s, %s)",
        (key_id, str(person.id), shown(key), digest(key), list(scopes), datetime.now(UTC)),
    )
    return key_id


def make_admin(database_url: str) -> Person:
    """An admin with a key for everything."""
    return make_person(database_url, role="admin", scopes=EVERYTHING)
