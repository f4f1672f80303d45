"""Migrations: they make what the models say, and can be undone."""

import threading
import time

import psycopg2
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import check as migrate_check
from flask_migrate import downgrade, upgrade

from app.config import load
from app.database import Session
from app.factory import create_app
from app.migrations import lock_retries
from app.services.accounts import audit_chain
from tests.support.servers.databases import NO_BROKER


def test_the_models_and_the_migrated_tables_agree(application, database_url):
    with application.app_context():
        migrate_check()  # exits with an error where autogenerate would change something


def test_every_table_and_column_has_a_comment(engine):
    with engine.connect() as connection:
        bare = connection.execute(
            sa.text(
                "SELECT relname || coalesce('.' || attname, '') FROM pg_class "
                "JOIN pg_namespace n ON n.oid = relnamespace "
                "LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped "
                "WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition "
                "AND relname <> 'alembic_version' AND (col_description(pg_class.oid, attnum) IS NULL "
                "OR obj_description(pg_class.oid, 'pg_class') IS NULL)"
            )
        ).scalars()

        assert bare.all() == []


def test_tasks_has_at_most_five_indexes(engine):
    assert len(sa.inspect(engine).get_indexes("tasks")) + 1 <= 5  # and the primary key


def test_migrations_can_be_undone_and_done_again(databases):
    from app.config import load
    from app.factory import create_app

    url = databases.create("updown")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}))
    with application.app_context():
        downgrade(revision="base")
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            left = {name for (name,) in cursor.fetchall()}
        connection.close()
        upgrade()

    assert left == {"alembic_version"}
    databases.drop(url)


def test_names_of_schedules_that_are_there_twice_are_numbered(databases):
    url = databases.create("names")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": NO_BROKER}))
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    with application.app_context():
        downgrade(revision="0021")
        cursor.execute("""
            INSERT INTO schedules (id, owner_id, name, cron, time_zone, target, misfire, misfire_cap, overlap,
                                   jitter_seconds, enabled, accounted_until, created_at, updated_at)
            SELECT CAST('01890000-0000-7000-8000-00000000000' || number AS uuid), CAST(owner AS uuid), name, '@daily',
                'UTC', '{}', 'skip', 1, 'allow', 0, false, now(), now(), now()
            FROM (VALUES (1, NULL, 'a'), (2, NULL, 'a'), (3, NULL, 'a (2)'), (4, NULL, NULL), (5, NULL, NULL),
                         (6, '01890000-0000-7000-8000-0000000000ff', 'a')) AS given(number, owner, name)
        """)
        upgrade()
    cursor.execute("SELECT name FROM schedules ORDER BY id")
    names = [name for (name,) in cursor.fetchall()]
    connection.close()
    databases.drop(url)

    assert names == ["a", "a (2) (2)", "a (2)", None, None, "a"]


def test_a_migration_waits_for_another_one_beyond_the_statement_timeout(databases):
    from app.config import load
    from app.factory import create_app

    url = databases.create("patient")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}))
    other = psycopg2.connect(url)
    other.autocommit = True
    other.cursor().execute("SELECT pg_advisory_lock(7461736001)")
    ending = threading.Timer(0.6, other.close)
    with application.app_context():
        engine = application.extensions["migrate"].db.engine
        sa.event.listen(engine, "connect", _set_short_statement_timeout)
        ending.start()
        upgrade()

    ending.join()
    databases.drop(url)


@pytest.fixture
def behind(databases):
    """Tables that lack a migration that changes `tasks`, and somebody's transaction left open after a look at them."""
    from app.config import load
    from app.factory import create_app

    url = databases.create("behind")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}))
    reader = psycopg2.connect(url, application_name="DBeaver")
    with application.app_context():
        downgrade(revision="0012")
        tables = reader.cursor()
        tables.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.fetchall():  # whichever of them the newest migration changes
            reader.cursor().execute(f"SELECT count(*) FROM {table}")
        yield application.extensions["migrate"].db.engine, reader
    reader.close()
    databases.drop(url)


def test_a_migration_waits_for_an_open_transaction_without_holding_up_others(behind, capfd):
    engine, reader = behind
    took = []

    def use():
        for _ in range(40):
            began = time.perf_counter()
            with engine.begin() as connection:
                connection.execute(sa.text("UPDATE tasks SET aged = aged"))
            took.append(time.perf_counter() - began)
            time.sleep(0.1)
        reader.rollback()

    others = threading.Thread(target=use)
    others.start()
    upgrade()
    others.join()

    assert max(took) < 3  # as long as a lock is asked for, and a bit
    told = capfd.readouterr().err
    assert f"process {reader.info.backend_pid} of PostgreSQL" in told
    assert "DBeaver, idle in transaction" in told


def test_a_migration_that_finds_no_gap_changes_nothing_and_says_who_was_in_the_way(behind, monkeypatch, capfd):
    _, reader = behind
    monkeypatch.setattr(lock_retries, "TRIES", 2)

    with pytest.raises(SystemExit):
        upgrade()

    told = capfd.readouterr().err
    assert "Nothing was changed" in told
    assert f"pg_terminate_backend({reader.info.backend_pid})" in told


def _set_short_statement_timeout(connection, _):
    connection.cursor().execute("SET statement_timeout = 200")
    connection.commit()


@pytest.fixture
def crossing(databases):
    """Another program that has `users`, and takes `sinks`, which a migration has by then, while that waits for `users`.

    It looks for deadlocks so late that PostgreSQL ends the migration.
    """
    url = databases.create("crossing")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}))
    other = psycopg2.connect(url, application_name="old worker")
    watcher = psycopg2.connect(url)
    watcher.autocommit = True

    def cross():
        took = other.cursor()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            looked = watcher.cursor()
            looked.execute("SELECT FROM pg_locks WHERE NOT granted AND relation = CAST('users' AS regclass)")
            if looked.fetchone() is not None:
                took.execute("LOCK TABLE sinks IN ROW EXCLUSIVE MODE")
                other.commit()
                return
            time.sleep(0.02)

    with application.app_context():
        watcher.cursor().execute("DROP SCHEMA public, taskledger CASCADE; CREATE SCHEMA public")
        upgrade(revision="0013")
        cursor = other.cursor()
        cursor.execute("SET deadlock_timeout = '60s'")
        cursor.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        thread = threading.Thread(target=cross)
        thread.start()
        yield watcher
        thread.join()
    other.close()
    watcher.close()
    databases.drop(url)


def test_a_migration_that_meets_a_deadlock_steps_back_and_tries_again(crossing, capfd):
    before = deadlocks(crossing)

    upgrade()

    newest = ScriptDirectory.from_config(current_app.extensions["migrate"].migrate.get_config()).get_current_head()
    with crossing.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        assert cursor.fetchall() == [(newest,)]
    assert deadlocks(crossing) == before + 1
    assert "Trying again" in capfd.readouterr().err


def deadlocks(connection):
    """How many PostgreSQL has ended in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_the_entries_of_an_older_audit_log_become_the_beginning_of_the_chain(databases):
    url = databases.create("chained")
    application = create_app(load({"DATABASE_URL": url, "BROKER_URL": NO_BROKER}))
    with application.app_context():
        downgrade(revision="0019")
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            for _ in range(3):
                cursor.execute("INSERT INTO audit_log (at, action) VALUES (now(), 'test.done')")
            cursor.execute("SELECT nextval(pg_get_serial_sequence('audit_log', 'id'))")  # a gap, as of a rollback
            cursor.execute("INSERT INTO audit_log (at, action) VALUES (now(), 'test.done')")
        upgrade()
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO audit_log (at, action) VALUES (now(), 'test.done')")
        connection.close()
        with Session(
            sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sa.NullPool)
        ) as session:
            verified = audit_chain.verify(session, newest=None)
            ids = session.scalars(sa.text("SELECT id FROM audit_log ORDER BY id")).all()

    assert (verified.entries, verified.fault) == (5, None)
    assert ids == [1, 2, 3, 5, 6]
    databases.drop(url)
