"""Calls in the transaction of a SQLAlchemy session, of 1.4 and later: as rows of it, or sent when it is committed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

WAITING = "taskledger_calls"
SUBMIT = """
    SELECT taskledger.submit(
        CAST(:type AS text), CAST(:payload AS jsonb), name => CAST(:name AS text), priority => CAST(:priority AS text),
        scheduled_at => CAST(:scheduled_at AS timestamptz), timeout => CAST(:timeout AS integer),
        labels => CAST(:labels AS jsonb), expires_at => CAST(:expires_at AS timestamptz))
"""
HAS_LEDGER = "SELECT to_regproc('taskledger.submit') IS NOT NULL"
_ledgers: dict[str, bool] = {}


class SessionTransaction:
    """The transaction that a session is in."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def of(cls, session: Any) -> SessionTransaction:
        """Of a Session, of a scoped_session, or of an AsyncSession. Raises TypeError for anything else."""
        found = getattr(session, "sync_session", session)
        if callable(found):  # a scoped_session, or a proxy of one
            found = found()
        if not hasattr(found, "get_bind") or not hasattr(found, "info"):
            raise TypeError(f"using() takes a SQLAlchemy session, and not a {type(session).__name__}")
        return cls(found)

    def has_ledger(self) -> bool:
        """Asked once for each database."""
        text, not_bound = _sqlalchemy().text, importlib.import_module("sqlalchemy.exc").UnboundExecutionError
        try:
            bind = self._session.get_bind()
        except not_bound:  # of several databases
            return False
        if bind.dialect.name != "postgresql":
            return False
        place = str(bind.engine.url)
        if place not in _ledgers:
            _ledgers[place] = bool(self._session.execute(text(HAS_LEDGER)).scalar())
        return _ledgers[place]

    def submit(self, submission: Mapping[str, Any]) -> UUID:
        """By the SQL function."""
        text = _sqlalchemy().text
        return UUID(str(self._session.execute(text(SUBMIT), parameters_of(submission)).scalar()))

    def after_commit(self, send: Callable[[], object]) -> None:
        """Remember it with the innermost savepoint: a savepoint that is rolled back takes it along."""
        waiting = self._session.info.get(WAITING)
        if waiting is None:
            waiting = self._session.info[WAITING] = []
            _listen(self._session)
        if not self._session.in_transaction():
            self._session.begin()  # as its first statement would, or a rollback would tell nobody
        innermost = self._session.get_nested_transaction() or self._session.get_transaction()
        waiting.append((innermost, send))


def _sqlalchemy() -> Any:
    """The caller's own, which is there where there is a session; nothing else of the SDK needs it."""
    return importlib.import_module("sqlalchemy")


def parameters_of(submission: Mapping[str, Any]) -> dict[str, Any]:
    """A submission as the SQL function takes it."""
    names = ("type", "name", "priority", "scheduled_at", "timeout", "expires_at")
    texts = {name: json.dumps(submission.get(name) or {}) for name in ("payload", "labels")}
    return {name: submission.get(name) for name in names} | texts


def _listen(session: Any) -> None:
    event = _sqlalchemy().event
    event.listen(session, "after_commit", _send)
    event.listen(session, "after_soft_rollback", _forget)
    event.listen(session, "after_transaction_end", _end)


def _send(session: Any) -> None:
    waiting = session.info.get(WAITING) or []
    session.info[WAITING] = []
    for _, send in waiting:
        send()


def _forget(session: Any, rolled_back: Any) -> None:
    waiting = session.info.get(WAITING) or []
    session.info[WAITING] = [each for each in waiting if not _is_within(each[0], rolled_back)]


def _end(session: Any, ended: Any) -> None:
    """A session that was closed without a commit has rolled back, and does not say so."""
    if ended.parent is None:
        session.info[WAITING] = []


def _is_within(transaction: Any, rolled_back: Any) -> bool:
    """Whether it is the one that was rolled back, or inside of it; what began before any was, is within all."""
    if rolled_back.parent is None:
        return True
    while transaction is not None:
        if transaction is rolled_back:
            return True
        transaction = transaction.parent
    return False
