"""Engines: the address of the database, what each connection is told, and the two engines of a process."""

import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa
from msgspec import convert
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app import clock
from app.config import Settings, database_address, get_settings
from app.config.database_address import DatabaseAddress
from app.database.errors import READ_ONLY
from app.database.values import from_json, to_json


def sqlalchemy_url(settings: Settings) -> sa.URL:
    """DATABASE_URL with the driver we use; SQLAlchemy 2.1 would take psycopg 3 for `postgresql://`.

    What SQLAlchemy itself reads of several hosts is only one of the spellings that we take.
    """
    address = database_address.read(settings.database_url)
    return sa.URL.create(
        "postgresql+psycopg2",
        username=address.user,
        password=address.password,
        database=address.database,
        query={name: value for name, value in address.parameters.items() if name not in ("user", "password", "dbname")},
    )


def address_of(connection: sa.Connection, settings: Settings) -> DatabaseAddress:
    """The server that a connection was made to, of those in DATABASE_URL: for programs that must meet the same one."""
    driver: Any = connection.connection.driver_connection
    return database_address.read(settings.database_url).at(driver.info.host, driver.info.port)


def engine_options(settings: Settings, *, application_name: str) -> dict[str, Any]:
    """Keyword arguments of create_engine for every process of the service."""
    return {
        "pool_size": settings.database_pool_size,
        "max_overflow": settings.database_pool_size,
        "pool_timeout": 5,
        "pool_pre_ping": False,  # a round trip a request; a dead connection is met by the retry of the caller instead
        "pool_use_lifo": True,
        "json_serializer": to_json,
        "json_deserializer": from_json,
        "hide_parameters": True,  # they are payloads, which must not get into a log by way of an error message
        "connect_args": {
            "connect_timeout": 3,
            "application_name": application_name,
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    }


SESSION_SETTINGS = {
    "taskledger.service": "on",  # the history need not name the database user of what the service itself does
    # A role called taskledger would find the schema of that name, which holds functions only, before public.
    "search_path": "public",
    "timezone": "UTC",
    "jit": "off",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    # The server's side of connect_args: a session whose client's host was cut off ends, and with it what it had locked.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


# psycopg2's own asks Python's UUID to read the text, which takes three times as long; every statement returns ids.
_UUID = psycopg2.extensions.new_type((2950,), "UUID", lambda text, _: None if text is None else convert(text, UUID))


def set_up_sessions(engine: sa.Engine, settings: Mapping[str, str] = SESSION_SETTINGS) -> None:
    """Give each new connection its settings; by a statement, because PgBouncer refuses libpq's `options`."""
    calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
    values = [each for pair in settings.items() for each in pair]

    def set_up(dbapi_connection: Any, _: Any) -> None:
        with dbapi_connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", values)
        psycopg2.extensions.register_type(_UUID, dbapi_connection)
        dbapi_connection.commit()  # a rollback would take them back

    event.listen(engine, "connect", set_up)


def leave_read_only(engine: sa.Engine) -> None:
    """Take a server that takes no changes for one that is away: the next connections find the new primary, if any."""

    def leave(context: sa.engine.ExceptionContext) -> None:
        error = context.original_exception
        if getattr(error, "pgcode", None) == READ_ONLY:
            context.is_disconnect = True
            # psycopg2 calls it an internal error, which nobody expects of a server that cannot be reached.
            raise OperationalError(context.statement, None, error, hide_parameters=True)

    event.listen(engine, "handle_error", leave)


def watch_clock(engine: sa.Engine) -> None:
    """Measure the clock's offset when a connection is taken from the pool, once a minute."""

    def measure(dbapi_connection: Any, *_: Any) -> None:
        if not clock.is_stale():
            return
        try:
            clock.measure(dbapi_connection)
            dbapi_connection.rollback()
        except psycopg2.Error as error:
            # The pool opens another connection; raised as it is, no caller would know it for a database error.
            raise sa.exc.DisconnectionError from error

    event.listen(engine, "checkout", measure)


def make_engine(settings: Settings, *, application_name: str = "taskledger", **more: Any) -> sa.Engine:
    """An engine of its own, not shared."""
    options = engine_options(settings, application_name=application_name) | more
    engine = sa.create_engine(sqlalchemy_url(settings), **options)
    set_up_sessions(engine)
    watch_clock(engine)
    leave_read_only(engine)
    return engine


class Engines(NamedTuple):
    """Of one process. Connections of their own: switching one to autocommit and back costs a round trip each."""

    transactional: sa.Engine
    autocommit: sa.Engine


_engines: Engines | None = None
_engines_pid = 0
_engines_lock = threading.Lock()


def engine() -> sa.Engine:
    """The engine of this process for transactions."""
    return engines().transactional


def engines() -> Engines:
    """The engines of this process; a forked child leaves its parent's connections alone and opens its own."""
    global _engines, _engines_pid, _engines_lock
    if _engines is not None and _engines_pid == os.getpid():
        return _engines
    if _engines_pid not in (0, os.getpid()):
        _engines_lock = threading.Lock()  # the inherited one may have been held when the process forked
    with _engines_lock:
        if _engines is None or _engines_pid != os.getpid():
            for inherited in _engines or ():
                inherited.dispose(close=False)
            settings = get_settings()
            _engines = Engines(make_engine(settings), make_engine(settings, isolation_level="AUTOCOMMIT"))
            _engines_pid = os.getpid()
        return _engines
