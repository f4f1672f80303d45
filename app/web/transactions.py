"""Transactions of requests: over the connections of the application, which has its own by Flask-SQLAlchemy."""

import time
from typing import Any

import psycopg2
import sqlalchemy as sa
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event

from app.config import Settings
from app.database import (
    Base,
    Session,
    Transactions,
    engine_options,
    leave_read_only,
    set_up_sessions,
    sqlalchemy_url,
    watch_clock,
)
from app.web.database_deadline import CONNECT_ARGS, WATCH

IDLE_SECONDS = 1.0


class Database(SQLAlchemy):
    """One pool with two faces: `engine` for transactions, and one for single statements that commit by themselves."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> sa.Engine:
        # Autocommit is what a connection has when it is opened, because switching to it at each checkout would cost as
        # much as the round trips it saves.
        plain: sa.Engine = super()._make_engine(bind_key, {**options, "isolation_level": "AUTOCOMMIT"}, app)
        app.extensions["taskledger.autocommit"] = plain
        return plain.execution_options(isolation_level="READ COMMITTED")


db = Database(metadata=Base.metadata)


def _open_session(autocommit: bool) -> Session:
    if autocommit:
        return Session(current_app.extensions["taskledger.autocommit"], commits_each_statement=True)
    session: Session = g.setdefault("database_session", Session(db.engine))  # one for all that a request does
    return session


_of_application = Transactions(_open_session)
transaction, in_transaction = _of_application.transaction, _of_application.in_transaction


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
