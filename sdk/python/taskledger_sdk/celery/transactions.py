"""Calls that take part in a transaction of their caller: rolled back, they were never made.

Where the caller's database is the ledger's own, the task is a row of the same transaction, by the SQL function
`taskledger.submit`. Anywhere else the call is sent once the transaction has been committed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from uuid import UUID

from taskledger_sdk.celery.sql_sessions import HAS_LEDGER, SessionTransaction, parameters_of

DJANGO_SUBMIT = """
    SELECT taskledger.submit(
        %(type)s, CAST(%(payload)s AS jsonb), name => %(name)s, priority => %(priority)s,
        scheduled_at => %(scheduled_at)s, timeout => %(timeout)s, labels => CAST(%(labels)s AS jsonb),
        expires_at => %(expires_at)s)
"""


class Transaction(Protocol):
    """A transaction that is open."""

    def has_ledger(self) -> bool:
        """Whether its database is the ledger's."""

    def submit(self, submission: Mapping[str, Any]) -> UUID:
        """Submit a task in it; the id of the task."""

    def after_commit(self, send: Callable[[], object]) -> None:
        """Call this once it has been committed, and not if it never is."""


_NOT_SAID: Any = object()
_current: ContextVar[Any] = ContextVar("taskledger_celery_session", default=_NOT_SAID)


@contextmanager
def using(session: Any) -> Iterator[None]:
    """Within this, calls of adopted applications belong to the transaction of a SQLAlchemy session.

    `session` is a Session, a scoped_session (as Flask-SQLAlchemy's `db.session`) or an AsyncSession. None: calls are
    sent at once, also within Django's `transaction.atomic()`. Commit the session: without it nothing is sent.
    """
    token = _current.set(None if session is None else SessionTransaction.of(session))
    try:
        yield
    finally:
        _current.reset(token)


def current(*, with_django: bool) -> Transaction | None:
    """The transaction that calls made here belong to; None: none."""
    said: Transaction | None = _current.get()
    if said is not _NOT_SAID:
        return said
    if with_django and "django.db" in sys.modules:
        return _django_transaction()
    return None


def _django_transaction() -> Transaction | None:
    django = importlib.import_module("django.db")
    not_configured = importlib.import_module("django.core.exceptions").ImproperlyConfigured
    try:
        return DjangoTransaction(django.connection) if django.connection.in_atomic_block else None
    except not_configured:  # a program that imports Django, and uses no database of it
        return None


class DjangoTransaction:
    """The innermost transaction.atomic() of a connection of Django."""

    _ledgers: dict[Any, bool] = {}

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def has_ledger(self) -> bool:
        """Asked once for each database."""
        if self._connection.vendor != "postgresql":
            return False
        place = tuple(str(self._connection.settings_dict.get(name)) for name in ("HOST", "PORT", "NAME"))
        if place not in self._ledgers:
            with self._connection.cursor() as cursor:
                cursor.execute(HAS_LEDGER)
                self._ledgers[place] = bool(cursor.fetchone()[0])
        return self._ledgers[place]

    def submit(self, submission: Mapping[str, Any]) -> UUID:
        """By the SQL function."""
        with self._connection.cursor() as cursor:
            cursor.execute(DJANGO_SUBMIT, parameters_of(submission))
            return UUID(str(cursor.fetchone()[0]))

    def after_commit(self, send: Callable[[], object]) -> None:
        """By Django's on_commit, which knows of savepoints."""
        self._connection.on_commit(send)
