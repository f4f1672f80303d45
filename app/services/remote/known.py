"""The remote types that this process knows: read from the ledger when somebody asks, and again when they are old."""

import threading
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import sqlalchemy as sa
import structlog

from app.clock import steady
from app.database import Session, in_transaction
from app.services.remote import types
from taskledger_sdk.registry import TaskType

log = structlog.get_logger(__name__)

FRESH_SECONDS = 2.0
ASK_AGAIN_SECONDS = 0.1  # after a name that nobody knew


class DeclaredTypes:
    """Remote types by name. Asked for one that it does not know, it reads again at once, ten times a second at most.

    While the database is away it knows what it was told last; where that was nothing yet, the error is raised.
    """

    def __init__(self) -> None:
        self._types: Mapping[str, TaskType] = MappingProxyType({})
        self._stamps: dict[str, datetime] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()

    def find(self, name: str) -> TaskType | None:
        """The type of this name; None where none is declared."""
        self._refresh(FRESH_SECONDS)
        if name not in self._types:
            self._refresh(ASK_AGAIN_SECONDS)
        return self._types.get(name)

    def all(self) -> Mapping[str, TaskType]:
        """All of them by name, sorted."""
        self._refresh(FRESH_SECONDS)
        return self._types

    def forget(self) -> None:
        """Read them again when next asked: this process has just changed one."""
        self._read_at = None

    def _refresh(self, seconds: float) -> None:
        if self._read_at is not None and steady() - self._read_at < seconds:
            return
        with self._lock:
            began, known_at = steady(), self._read_at
            if known_at is not None and began - known_at < seconds:
                return
            try:
                in_transaction(self._read)
            except sa.exc.SQLAlchemyError as error:
                if known_at is None and not self._stamps:
                    raise
                log.warning("remote_types_not_read", error=str(error.__cause__ or error).strip())
            self._read_at = began

    def _read(self, session: Session) -> None:
        stamps = types.stamps(session)
        changed = [name for name, stamp in stamps.items() if self._stamps.get(name) != stamp]
        made = types.read(session, changed) if changed else {}
        kept = {name: each for name, each in self._types.items() if name in stamps}
        if changed or len(kept) < len(self._types):
            self._types = MappingProxyType(dict(sorted({**kept, **made}.items())))
        self._stamps = stamps


TYPES = DeclaredTypes()
