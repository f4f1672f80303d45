"""Restoring a backup: the old content is set aside until the new one is complete, then everything unfinished is due."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import flask_migrate
import sqlalchemy as sa

from app.clock import utcnow
from app.commands.backup import folder as folders
from app.commands.backup import programs
from app.commands.backup.folder import Manifest
from app.config import Settings
from app.database import address_of, sqlalchemy_url, transaction
from app.errors import TaskledgerError
from app.services.accounts import audit
from app.services.artifacts.store import Store
from app.services.recovery import after_restore
from app.services.recovery.after_restore import Requeued

Progress = Callable[[str], None]

SCHEMAS = ("taskledger", "public")
ASIDE = "before_restore_"
OTHERS = sa.text("""
    SELECT coalesce(nullif(application_name, ''), 'unnamed')
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    ORDER BY 1
""")
EXISTING = sa.text("SELECT nspname FROM pg_namespace WHERE nspname = ANY(:names)")


def restore(settings: Settings, folder: Path, *, replace: bool, say: Progress) -> tuple[Manifest, Requeued]:
    """Bring the database and the artifacts back to a backup. Raises TaskledgerError, with the old content untouched."""
    manifest = Manifest.read(folder)
    engine = sa.create_engine(sqlalchemy_url(settings), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        _check(connection, replace=replace)
        version = connection.execute(sa.text("SHOW server_version")).scalar_one()
        program = programs.find("pg_restore", server_major=int(version.split(".")[0]))
        _make_roles(connection, manifest.roles)
        with _set_aside(connection):
            say("Restoring the database ...")
            jobs = min(4, os.cpu_count() or 1)
            options = ["--no-owner", "--exit-on-error", f"--jobs={jobs}", str(folder / folders.DUMP)]
            programs.run(program, options, address_of(connection, settings))
    flask_migrate.upgrade()
    _restore_artifacts(Store.of(settings), folder, say)
    say("Making what is unfinished due ...")
    now = utcnow()
    with transaction() as session:
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        revived = after_restore.requeue_all(session, now=now)
        audit.record(session, "ledger.restored", audit.COMMAND_LINE, now=now, taken_at=manifest.taken_at)
    return manifest, revived


def _check(connection: sa.Connection, *, replace: bool) -> None:
    others = list(connection.scalars(OTHERS))
    if others:
        raise TaskledgerError(
            f"{len(others)} others are connected to the database ({', '.join(sorted(set(others)))}): "
            "stop the API, the workers, the dispatchers and every psql first"
        )
    left = list(connection.scalars(EXISTING, {"names": [f"{ASIDE}{name}" for name in SCHEMAS]}))
    if left:
        raise TaskledgerError(
            f"{', '.join(left)} is left of a restore that was interrupted: look at it, then drop it, "
            "or rename it to what it was"
        )
    if not replace and connection.execute(sa.text("SELECT to_regclass('public.tasks') IS NOT NULL")).scalar_one():
        raise TaskledgerError("The database has tables of ours already: say --replace to put the backup in their place")


def _make_roles(connection: sa.Connection, roles: list[str]) -> None:
    """Roles belong to the server, not to the database: those that the dump grants something to must be there."""
    there = set(connection.scalars(sa.text("SELECT rolname FROM pg_roles")))
    for name in roles:
        if name not in there:
            quoted = connection.dialect.identifier_preparer.quote(name)
            connection.execute(sa.text(f"CREATE ROLE {quoted} NOLOGIN"))


@contextmanager
def _set_aside(connection: sa.Connection) -> Iterator[None]:
    """The old schemas under another name while inside; dropped at the end, or put back if anything fails."""
    there = list(connection.scalars(EXISTING, {"names": list(SCHEMAS)}))
    with _one_transaction(connection):
        for name in there:
            connection.execute(sa.text(f"ALTER SCHEMA {name} RENAME TO {ASIDE}{name}"))
    try:
        yield
    except BaseException:
        with _one_transaction(connection):
            for name in SCHEMAS:
                connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
            for name in there:
                connection.execute(sa.text(f"ALTER SCHEMA {ASIDE}{name} RENAME TO {name}"))
        raise
    with _one_transaction(connection):
        for name in there:
            connection.execute(sa.text(f"DROP SCHEMA {ASIDE}{name} CASCADE"))


@contextmanager
def _one_transaction(connection: sa.Connection) -> Iterator[None]:
    connection.execute(sa.text("BEGIN"))
    try:
        yield
    except BaseException:
        connection.execute(sa.text("ROLLBACK"))
        raise
    connection.execute(sa.text("COMMIT"))


def _restore_artifacts(store: Store, folder: Path, say: Progress) -> None:
    say("Restoring artifacts ...")
    for artifact_id, path in folders.kept(folder):
        with path.open("rb") as content:
            store.write(artifact_id, folders.chunks_of(content))
