"""Migrations step back from tables that somebody has in use, so that nobody waits behind them."""

import time

import click
import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError

from app.database import DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, sqlstate

# Whoever asks for a table after us waits behind us, so that one who has only read it, in a transaction left open, would
# hold up every request. We step back and try again, for two minutes. So do we in a deadlock: a transaction that has one
# of the tables and wants the next one is none of ours to end, and PostgreSQL ends whichever of both it likes.
LOCK_MILLISECONDS, PAUSE_SECONDS, TRIES = 1_500, 2.0, 35
IN_THE_WAY = sa.text("""
    SELECT a.pid, coalesce(a.usename, '') AS role, a.application_name AS program, a.state, min(c.relname) AS relation,
        CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS integer) AS seconds
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted
        AND a.datname = current_database()
        AND a.pid <> pg_backend_pid()
        AND c.relkind IN ('r', 'p')
        AND c.relnamespace = CAST('public' AS regnamespace)
        AND a.xact_start < clock_timestamp() - interval '1 second'
    GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start
    ORDER BY a.xact_start
    LIMIT 1
""")


def run_migrations(connection: sa.Connection) -> None:
    """All of it or nothing, as soon as nobody is in the way. Raises CommandError that names who still is."""
    connection.execute(sa.text(f"SET lock_timeout = {LOCK_MILLISECONDS}"))
    connection.commit()
    for tries_left in reversed(range(TRIES)):
        try:
            with context.begin_transaction():
                context.run_migrations()
        except sa.exc.OperationalError as error:
            if sqlstate(error) not in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED):
                raise
            connection.rollback()
            told = in_the_way(connection)
            if not tries_left:
                raise CommandError(f"Nothing was changed: {told}, and run this again.") from error
            click.echo(f"Waiting: {told}. Trying again ...", err=True)
            time.sleep(PAUSE_SECONDS)
        else:
            return


def in_the_way(connection: sa.Connection) -> str:
    """Who has had a table for longest, and how to end that."""
    found = connection.execute(IN_THE_WAY).first()
    connection.commit()
    if found is None:
        return "a table was in use a moment ago; wait until the load is lower"
    return (
        f"process {found.pid} of PostgreSQL ({found.role}, {found.program or 'no name'}, {found.state}) has held "
        f"{found.relation!r} for {found.seconds} s; end its transaction, or SELECT pg_terminate_backend({found.pid})"
    )
