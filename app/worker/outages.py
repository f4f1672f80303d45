"""Waiting out a database that is away: its errors never fail a task."""

import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
import structlog

from app.database import Session, in_transaction, is_away
from app.observability.metrics import DATABASE_RETRIES

T = TypeVar("T")
log = structlog.get_logger(__name__)

CLAIM_SECONDS = 10.0
# An outcome exists only here until it is recorded, and this process has nothing else to do while the database is away.
# Far longer than a claim's, then; the hint's hard limit bounds it. See docs/decisions/0002.
RECORD_SECONDS = 600.0
PAUSE_SECONDS = 0.5
_PASSING = ("57014", "55P03", "58030")  # statement timeout, lock timeout, input or output error
_NO_RESOURCES = "53"  # out of memory, disk full, too many connections


class DatabaseAway(Exception):
    """PostgreSQL could not be reached for as long as we were ready to wait."""


def is_passing(error: Exception) -> bool:
    """Whether a finished result shall wait: the database is away, a row is locked for long, or there is no room."""
    code = getattr(getattr(error, "orig", None), "pgcode", None) or ""
    return is_away(error) or code in _PASSING or code.startswith(_NO_RESOURCES)


def retry_while_unavailable(
    work: Callable[[], T], *, seconds: float, when: Callable[[Exception], bool] = is_away, counted_as: str | None = None
) -> T:
    """Do the work, again and again while the database is away, or `when` says so. Raises DatabaseAway after that.

    `counted_as`: how the metrics call it; None in the parent process, which must not count
    (see app/observability/metrics.py).
    """
    give_up = time.monotonic() + seconds
    warned = False
    while True:
        try:
            return work()
        except sa.exc.SQLAlchemyError as error:
            if not when(error):
                raise
            if time.monotonic() >= give_up:
                raise DatabaseAway(str(error)) from error
            if not warned:
                log.warning("database_away", waiting_seconds=seconds, error=str(error.__cause__ or error))
                warned = True
        if counted_as is not None:
            DATABASE_RETRIES.labels(counted_as).inc()
        time.sleep(PAUSE_SECONDS)


def transact(work: Callable[[Session], T]) -> T:
    """The work in a transaction; a database that is away for a moment fails no task. Raises DatabaseAway."""
    return retry_while_unavailable(lambda: in_transaction(work), seconds=CLAIM_SECONDS)
