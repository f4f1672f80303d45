"""Connections to PostgreSQL: the declarative base, one engine a process, and units of work outside a request."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa
from msgspec import convert
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.orm import registry as orm_registry

from app import clock
from app.config import Settings, database_address, get_settings
from app.config.database_address import DatabaseAddress
from taskledger_sdk.json_values import depth_exceeds

T = TypeVar("T")

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
COMMITS_EACH_STATEMENT = "commits_each_statement"
"""In the info of a session whose statements are transactions of their own."""
MAX_LEVELS = 900
"""Of JSON that is read; Python 3.11 refuses some more."""
TRANSACTION_TRIES = 3
SERIALIZATION_FAILURE, DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
_RESTARTING = ("57P01", "57P02", "57P03")  # shutting down, crashed, starting up
READ_ONLY = "25006"  # a stand-by, or the server that was the primary until a moment ago


class Base(DeclarativeBase):
    """What all tables share. Flask-SQLAlchemy gets the same class, so a request and a worker see one metadata."""

    # The type map must sit in the registry: on the class itself it breaks Flask-SQLAlchemy with SQLAlchemy 2.1.
    registry = orm_registry(
        metadata=sa.MetaData(naming_convention=NAMING_CONVENTION),
        type_annotation_map={datetime: sa.DateTime(timezone=True), dict[str, Any]: JSONB, str: sa.Text},
    )


def to_json(value: Any) -> str:
    """Compact JSON text; NaN and Infinity are refused with ValueError because PostgreSQL has no such values."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Unreadable(dict[str, str]):
    """Stands for JSON that PostgreSQL holds and Python does not read; shown as an object that says so."""


def from_json(text: str) -> Any:
    """What JSON of the database says. One row that cannot be read must not be in the way of those beside it."""
    try:
        value = json.loads(text)
        # Python 3.13 reads some 10,000 levels, and our own code, which shows and masks values, a thousand.
        is_readable = text.count("[") + text.count("{") <= MAX_LEVELS or not depth_exceeds(value, MAX_LEVELS)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a thousand levels: written by hand
        is_readable = False
    if not is_readable:
        return Unreadable({"$unreadable": f"{len(text)} characters of JSON with more digits or levels than are read"})
    return value


def array(ids: Iterable[UUID | int | str]) -> str:
    """The text of a PostgreSQL array of ids: the driver would write each of them as an expression of its own."""
    return f"{{{','.join(map(str, ids))}}}"


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


def only_short_locks(session: Session) -> None:
    """For the rest of the transaction, give up after a second of waiting for a lock (55P03).

    For whoever judges others: a statement that waited would act on what was true before.
    """
    session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))


def server_time(session: Session) -> datetime:
    """What PostgreSQL's clock shows, whenever the transaction began."""
    shown: datetime = session.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return shown


def commit_asynchronously(session: Session) -> None:
    """For the rest of the transaction, wait for no disk: a crash of the database may forget it, and breaks nothing."""
    session.execute(sa.text("SET LOCAL synchronous_commit = off"))


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


_BY_INDEX = sa.text("SET LOCAL enable_seqscan = off")
_IN_ORDER = sa.text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")


def use_indexes(session: Session, *, in_order: bool = False) -> None:
    """For the rest of the transaction, read no table from end to end where there is an index.

    A backlog, or a day's partition, grows faster than it is analysed: a planner that believes the table still small
    reads all of it, batch after batch, for what it could look up. `in_order`: batches are the first rows by an index,
    so that the planner shall not read all that are left and sort them either.
    """
    session.execute(_IN_ORDER if in_order else _BY_INDEX)


# By itself PostgreSQL plans again for each list of ids, because lists are not as long as it assumes. And a plan is kept
# for as long as nothing new is known of a table: made when it was empty, it would read all of it an hour later.
_ONE_PLAN = "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; "


class Prepared:
    """A statement that PostgreSQL plans once a connection: planning costs more than running what touches few rows.

    `types` are its parameters, written `:name` in the text, and their types in SQL. Its plan must not depend on what
    they are; it uses indexes, and so does what follows it in its transaction. Needs a session of its own in the
    server: behind a pooler that lends out transactions, set PREPARE_STATEMENTS=false, and it is sent as it is.
    """

    def __init__(self, name: str, text: str, **types: str) -> None:
        self.name = f"taskledger_{name}"
        self.text = text
        self._names = tuple(types)
        numbered, plain = text, text.replace("%", "%%")
        for position, (parameter, type_) in enumerate(types.items(), start=1):
            place = re.compile(rf"(?<!:):{parameter}\b")
            numbered = place.sub(f"${position}", numbered)
            plain = place.sub(f"CAST(%({parameter})s AS {type_})", plain)
        self._plain = plain
        self._prepare = f"PREPARE {self.name} ({', '.join(types.values())}) AS {numbered}"
        values = ", ".join(f"CAST(%({parameter})s AS {type_})" for parameter, type_ in types.items())
        self._execute = f"EXECUTE {self.name} ({values})"

    def execute(self, session: Session, parameters: Mapping[str, Any], *, before: str = "") -> sa.CursorResult[Any]:
        """Run it; `before` is sent in the same round trip, and in its transaction."""
        return self.run(session.connection(), parameters, before=before)

    def run(
        self, connection: sa.Connection, parameters: Mapping[str, Any], *, before: str = ""
    ) -> sa.CursorResult[Any]:
        """The same on a connection."""
        if not get_settings().prepare_statements:
            return connection.exec_driver_sql(before + self._plain, dict(parameters))
        known = connection.connection.info.setdefault("prepared", set())
        if self.name not in known:
            connection.exec_driver_sql(self._prepare.replace("%", "%%"), {})
            known.add(self.name)
        return connection.exec_driver_sql(before + _ONE_PLAN + self._execute, dict(parameters))


_engine: sa.Engine | None = None
_autocommit: sa.Engine | None = None
_engine_pid = 0
_engine_lock = threading.Lock()


def engine() -> sa.Engine:
    """The engine of this process; a forked child leaves its parent's connections alone and opens its own."""
    global _engine, _autocommit, _engine_pid, _engine_lock
    if _engine is not None and _engine_pid == os.getpid():
        return _engine
    if _engine_pid not in (0, os.getpid()):
        _engine_lock = threading.Lock()  # the inherited one may have been held when the process forked
    with _engine_lock:
        if _engine is None or _engine_pid != os.getpid():
            for inherited in (_engine, _autocommit):
                if inherited is not None:
                    inherited.dispose(close=False)
            _engine = make_engine(get_settings())
            # Connections of their own: switching one to autocommit and back costs a round trip each.
            _autocommit, _engine_pid = make_engine(get_settings(), isolation_level="AUTOCOMMIT"), os.getpid()
    return _engine


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """A session whose changes are committed together at the end, or not at all."""
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def single_statement() -> Iterator[Session]:
    """A session whose every statement is a transaction of its own: no round trips for BEGIN and COMMIT."""
    engine()
    with Session(_autocommit, expire_on_commit=False) as session:
        yield session


def in_transaction(work: Callable[[Session], T]) -> T:
    """Run `work` in a transaction; a deadlock or serialization error repeats the whole of it, three times in all."""
    return _repeated(unit_of_work, work)


def in_one_statement(work: Callable[[Session], T]) -> T:
    """Run `work`, which is one statement and so a transaction of its own; repeated as `in_transaction` does."""
    return _repeated(single_statement, work)


def _repeated(opened: Callable[[], AbstractContextManager[Session]], work: Callable[[Session], T]) -> T:
    for tries_left in reversed(range(TRANSACTION_TRIES)):
        try:
            with opened() as session:
                return work(session)
        except DBAPIError as error:
            if not tries_left or sqlstate(error) not in (SERIALIZATION_FAILURE, DEADLOCK_DETECTED):
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's five-character error code, or None when the server was not reached."""
    return getattr(error.orig, "pgcode", None)


def is_away(error: Exception) -> bool:
    """Whether the error says that the database cannot be reached now, as opposed to: the statement is wrong."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and (error.connection_invalidated or sqlstate(error) == READ_ONLY):
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = sqlstate(error)
    return code is None or code in _RESTARTING
