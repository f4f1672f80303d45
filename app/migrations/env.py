"""Alembic's entry: one connection, one lock, one transaction; two migrations at once wait for each other."""

import re

import sqlalchemy as sa
from alembic import context
from flask import current_app

from app.database import SESSION_SETTINGS
from app.migrations import lock_retries

MIGRATION_LOCK = 7_461_736_001  # any constant that is ours alone
PARTITION = re.compile(r"task_events_(p\d{8}|default)$")


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Partitions come and go by day; they are no part of the models."""
    return not (type_ == "table" and name and PARTITION.match(name))


def run() -> None:
    """Bring the database to the revision asked for."""
    database = current_app.extensions["migrate"].db
    with database.engine.connect() as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))  # before the lock: another migration may take long
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            include_name=include_name,
            compare_type=True,
        )
        try:
            lock_retries.run_migrations(connection)
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            # The pool may lend the connection to others.
            kept = {"value": SESSION_SETTINGS["statement_timeout"]}
            connection.execute(sa.text("SELECT set_config('statement_timeout', :value, false)"), kept)
            connection.commit()


run()
