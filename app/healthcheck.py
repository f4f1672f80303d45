"""`python -m app.healthcheck worker|dispatcher`: whether the process on this host does its work; for health checks.

It loads nothing but psycopg2 and two small modules, because a container runs it every few seconds.
"""

import os
import socket
import sys
from typing import Any

import psycopg2

from app.config import database_address, secret_files

QUESTIONS = {
    # a worker's parent process writes its row each second
    "worker": "SELECT EXISTS (SELECT FROM workers WHERE kind = 'celery' AND host = %(host)s AND stopped_at IS NULL "
    "AND last_seen_at > now() - interval '15 seconds')",
    # one duty is enough: with the broker away those that publish fail, and a restart would not help them
    "dispatcher": "SELECT EXISTS (SELECT FROM duties WHERE last_success_at > now() - interval '30 seconds')",
}


def fault(process: str, database_url: str) -> str | None:
    """What is wrong with the worker or the dispatcher on this host; None when it does its work."""
    parameters: dict[str, Any] = {"connect_timeout": 3, **database_address.read(database_url).parameters}
    try:
        connection = psycopg2.connect(**parameters)
    except psycopg2.OperationalError as error:
        return f"the database does not answer: {error}".strip()
    try:
        with connection.cursor() as cursor:
            cursor.execute(QUESTIONS[process], {"host": socket.gethostname()})
            (is_working,) = cursor.fetchone() or (False,)
    except psycopg2.Error as error:
        return f"the database answers with an error: {error}".strip()
    finally:
        connection.close()
    return None if is_working else f"the {process} has not been seen lately"


def database_url() -> str:
    """Where the database is. All settings are read only where this one is not set (beside a `make run`)."""
    given = secret_files.value_of(os.environ, "DATABASE_URL")
    if given:
        return given.strip()
    from app.config import get_settings

    return get_settings().database_url


def main(arguments: list[str]) -> int:
    """Print what is wrong; the exit status is 0 when nothing is."""
    if len(arguments) != 1 or arguments[0] not in QUESTIONS:
        sys.stderr.write(f"usage: python -m app.healthcheck {'|'.join(QUESTIONS)}\n")
        return 2
    found = fault(arguments[0], database_url())
    if found is not None:
        sys.stderr.write(f"{found}\n")
    return 0 if found is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
