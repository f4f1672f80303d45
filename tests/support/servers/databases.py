"""Databases for tests: migrated once into a template, copied from it, dropped at the end."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg2
import sqlalchemy as sa

ROOT = Path(__file__).parents[3]
NO_BROKER = "amqp://guest:guest@127.0.0.1:1//"
"""A broker that refuses every connection at once."""


class Databases:
    """Makes databases on one server, and drops those that it made."""

    def __init__(self, server_url: str) -> None:
        self._server = sa.make_url(server_url)
        self._prefix = f"taskledger_test_{uuid4().hex[:12]}"
        self._template: str | None = None
        self._made: list[str] = []

    def url_of(self, purpose: str) -> str:
        """Where `create` makes, or has made, the database of this purpose."""
        return self._url(self._name(purpose))

    def create(self, purpose: str) -> str:
        """A migrated, empty database; returns its URL. A copy takes a tenth of a second, a migration some two."""
        if self._template is None:
            self._template = self._migrated_template()
        name = self._name(purpose)
        self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
        self._made.append(name)
        return self._url(name)

    def create_empty(self, purpose: str) -> str:
        """A database without tables; returns its URL."""
        name = self._name(purpose)
        self._administer(f'CREATE DATABASE "{name}"')
        self._made.append(name)
        return self._url(name)

    def drop(self, url: str) -> None:
        """Drop one database and whoever is connected to it."""
        name = str(sa.make_url(url).database)
        self._made.remove(name)
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def drop_all(self) -> None:
        for name in list(self._made):
            self.drop(self._url(name))

    def _name(self, purpose: str) -> str:
        return f"{self._prefix}_{purpose}"

    def _url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def _migrated_template(self) -> str:
        url = self.create_empty("template")
        migrate(url)
        return self._name("template")

    def _administer(self, statement: str) -> None:
        connection = psycopg2.connect(self._server.render_as_string(hide_password=False), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


def migrate(url: str) -> None:
    """What the README tells an operator to run. Raises AssertionError with its output."""
    environment = os.environ | {"DATABASE_URL": url, "BROKER_URL": NO_BROKER}
    command = [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"the migration failed:\n{done.stdout}{done.stderr}"
