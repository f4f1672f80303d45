"""The database in a request: Flask-SQLAlchemy over our own base, and one transaction that ends with its block."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import (
    COMMITS_EACH_STATEMENT,
    DEADLOCK_DETECTED,
    SERIALIZATION_FAILURE,
    TRANSACTION_TRIES,
    Base,
    engine_options,
    leave_read_only,
    set_up_sessions,
    sqlalchemy_url,
    sqlstate,
    watch_clock,
)
from app.web.database_deadline import CONNECT_ARGS, WATCH

T = TypeVar("T")

IDLE_SECONDS = 1.0


class Database(SQLAlchemy):
    """One pool with two faces: `engine` for transactions, and one for single statements that commit by themselves."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> sa.Engine:
        # Autocommit is what a connection has when it is opened, because switching to it at each checkout would cost as
        # much as the round trips it saves.
        plain: sa.Engine = super()._make_engine(bind_key, {**options, "isolation_level": "AUTOCOMMIT"}, app)
        app.extensions["taskledger.autocommit"] = plain
        return plain.execution_options(isolation_level="READ COMMITTED")


db = Database(model_class=Base, session_options={"expire_on_commit": False})


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that is committed at the end of the block, or rolled back when the block raises."""
    session = db.session()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        # The connection goes back to the pool here and not at the end of the request, which may wait for long.
        session.close()


def repeated(work: Callable[[Session], T]) -> T:
    """The work in a transaction; a deadlock or serialization error repeats the whole of it, three times in all."""
    for tries_left in reversed(range(TRANSACTION_TRIES)):
        try:
            with transaction() as session:
                return work(session)
        except sa.exc.DBAPIError as error:
            if not tries_left or sqlstate(error) not in (SERIALIZATION_FAILURE, DEADLOCK_DETECTED):
                raise
    raise AssertionError("unreachable: the last try returns or raises")


@contextmanager
def single_statement() -> Iterator[Session]:
    """A session whose every statement is a transaction of its own: no round trips for BEGIN and COMMIT."""
    engine = current_app.extensions["taskledger.autocommit"]
    with Session(engine, expire_on_commit=False, info={COMMITS_EACH_STATEMENT: True}) as session:
        yield session


def register(app: Flask, settings: Settings) -> None:
    """Connect the application to PostgreSQL (lazily: no connection is opened here)."""
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(settings)
    options = engine_options(settings, application_name="taskledger-api")
    options["connect_args"] = options["connect_args"] | CONNECT_ARGS
    WATCH.allow(settings.database_answer_seconds)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    with app.app_context():
        engine = db.engine
    replace_dead_connections(engine)
    set_up_sessions(engine)
    leave_read_only(engine)
    watch_clock(engine)
    leave_read_only(engine)


def replace_dead_connections(engine: sa.Engine) -> None:
    """Ask a connection that has rested whether it lives; on the hot path they do not rest, and nothing is asked."""

    def was_returned(_: Any, record: Any) -> None:
        record.info["returned_at"] = time.monotonic()

    def is_taken(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get("returned_at", time.monotonic()) < IDLE_SECONDS:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except psycopg2.Error as error:
            raise sa.exc.DisconnectionError from error

    event.listen(engine, "checkin", was_returned)
    event.listen(engine, "checkout", is_taken)
