"""What somebody with psql does to the others: locks, settings, ended sessions."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from tests.support.servers.postgres import PrivatePostgres


@contextmanager
def held(url: str, statement: str) -> Iterator[None]:
    """Somebody's psql that has begun a transaction, and thinks."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        yield
    finally:
        connection.rollback()
        connection.close()


@contextmanager
def read_only(postgres: PrivatePostgres) -> Iterator[None]:
    """A server that takes no changes, as after a failover until the clients find the new primary."""
    run_on_server(postgres, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        run_on_server(postgres, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


def run_on_server(postgres: PrivatePostgres, *statements: str) -> None:
    """Statements that need no transaction, in the server's own database."""
    connection = psycopg2.connect(postgres.url(), options="-c default_transaction_read_only=off")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
