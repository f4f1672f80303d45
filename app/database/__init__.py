"""PostgreSQL: engines, transactions, values and errors. What others import of it, they import from here."""

from app.database.base import NAMING_CONVENTION, Base, Mapped, mapped_column
from app.database.engines import (
    SESSION_SETTINGS,
    address_of,
    engine,
    engine_options,
    leave_read_only,
    make_engine,
    set_up_sessions,
    sqlalchemy_url,
    watch_clock,
)
from app.database.errors import (
    DEADLOCK_DETECTED,
    LOCK_NOT_AVAILABLE,
    READ_ONLY,
    SERIALIZATION_FAILURE,
    is_away,
    sqlstate,
)
from app.database.prepared import Prepared
from app.database.session import Session
from app.database.transaction_settings import (
    ASYNCHRONOUSLY,
    commit_asynchronously,
    only_short_locks,
    server_time,
    use_indexes,
)
from app.database.transactions import Transactions, in_transaction, transaction
from app.database.values import MAX_LEVELS, Unreadable, array, from_json, texts, to_json

__all__ = [
    "ASYNCHRONOUSLY",
    "DEADLOCK_DETECTED",
    "LOCK_NOT_AVAILABLE",
    "MAX_LEVELS",
    "NAMING_CONVENTION",
    "READ_ONLY",
    "SERIALIZATION_FAILURE",
    "SESSION_SETTINGS",
    "Base",
    "Mapped",
    "Prepared",
    "Session",
    "Transactions",
    "Unreadable",
    "address_of",
    "array",
    "commit_asynchronously",
    "engine",
    "engine_options",
    "from_json",
    "in_transaction",
    "is_away",
    "leave_read_only",
    "make_engine",
    "mapped_column",
    "only_short_locks",
    "server_time",
    "set_up_sessions",
    "sqlalchemy_url",
    "sqlstate",
    "texts",
    "to_json",
    "transaction",
    "use_indexes",
    "watch_clock",
]
