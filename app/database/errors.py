"""What an error of the database says: its code, and whether the database is away."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

SERIALIZATION_FAILURE, DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
READ_ONLY = "25006"  # a stand-by, or the server that was the primary until a moment ago
_RESTARTING = ("57P01", "57P02", "57P03")  # shutting down, crashed, starting up


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
