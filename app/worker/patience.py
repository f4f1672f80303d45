"""Waiting out a database that is away: its errors never fail a task."""

import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")
log = structlog.get_logger(__name__)

CLAIM_SECONDS = 10.0
# An outcome exists only here until it is recorded, and this process has nothing else to do while the database is away.
# Far longer than a claim's, then; the hint's hard limit bounds it. See docs/decisions/0002.
RECORD_SECONDS = 600.0
PAUSE_SECONDS = 0.5
_RESTARTING = ("57P01", "57P02", "57P03", "25006")  # shutting down, crashed, starting up, read-only stand-by


class DatabaseAway(Exception):
    """PostgreSQL could not be reached for as long as we were ready to wait."""


def is_away(error: Exception) -> bool:
    """Whether the error says that the database cannot be reached now, as opposed to: the statement is wrong."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    code = getattr(getattr(error, "orig", None), "pgcode", None)
    return isinstance(error, OperationalError | InterfaceError) and (code is None or code in _RESTARTING)


def patiently(work: Callable[[], T], *, seconds: float) -> T:
    """Do the work, again and again while the database is away. Raises DatabaseAway after so many seconds."""
    give_up = time.monotonic() + seconds
    warned = False
    while True:
        try:
            return work()
        except sa.exc.SQLAlchemyError as error:
            if not is_away(error):
                raise
            if time.monotonic() >= give_up:
                raise DatabaseAway(str(error)) from error
            if not warned:
                log.warning("database_away", waiting_seconds=seconds, error=str(error.__cause__ or error))
                warned = True
        time.sleep(PAUSE_SECONDS)
