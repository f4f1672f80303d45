"""Connections to test databases: one is kept to that of this test process, which each test writes to and empties."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2

# The audit log refuses to be emptied, as it should: triggers are off here. To delete makes no new files, as to truncate
# would, and other connections keep their plans. A table that a test has filled with very many rows is truncated.
_EMPTY_ALL = """
CREATE FUNCTION pg_temp.empty_all() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $empty$
DECLARE name text;
BEGIN
    FOR name IN SELECT oid::regclass FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 1000000 LOOP
        EXECUTE 'TRUNCATE ' || name || ' CASCADE';
    END LOOP;
    {deletions}
    UPDATE audit_chain SET last_id = 0, last_hash = '', pruned_id = 0, pruned_hash = '' WHERE last_id > 0;
END $empty$
"""
_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname NOT IN ('alembic_version', 'audit_chain')
ORDER BY relname
"""


class KeptConnection:
    """Made when it is first wanted, and made again when it broke: connecting costs more than what most tests write."""

    def __init__(self) -> None:
        self.url: str | None = None
        self._connection: Any = None
        self._lock = threading.RLock()  # tests write from threads, too; a transaction is of one of them

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """The connection in a transaction, which is committed at the end."""
        with self._lock:
            if not self._is_alive():
                self._connect()
            with self._connection:
                yield self._connection

    def end(self) -> None:
        """Close it; nothing is kept from here on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self.url = self._connection = None

    def _is_alive(self) -> bool:
        if self._connection is None or self._connection.closed:
            return False
        with suppress(psycopg2.Error), self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return True
        return False

    def _connect(self) -> None:
        self._connection = psycopg2.connect(self.url)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")  # a test that left a transaction open is told so
            cursor.execute(_TABLES)
            deletions = "\n    ".join(f"DELETE FROM {name};" for (name,) in cursor.fetchall())
            cursor.execute(_EMPTY_ALL.format(deletions=deletions))


KEPT = KeptConnection()


@contextmanager
def transaction(url: str) -> Iterator[Any]:
    """A connection in a transaction, which is committed at the end: the kept one where it is of this database."""
    if url == KEPT.url:
        with KEPT.transaction() as connection:
            yield connection
    else:
        with closing(psycopg2.connect(url)) as connection, connection:
            yield connection


def empty_all_tables() -> None:
    """Empty all tables of the database that the kept connection is of."""
    with KEPT.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_temp.empty_all()")
