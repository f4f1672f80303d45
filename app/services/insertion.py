"""The statement that makes tasks durable: one INSERT for any number of rows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Prepared, to_json
from app.models import Task, TaskRecord

# What a new row differs in; the other columns have defaults. Triggers may change what comes back from the row itself: a
# task under a limit is held until it is admitted, one that expires early is looked at then.
WRITTEN = (
    "id", "type", "name", "status", "payload", "priority", "queue", "max_retries", "timeout_seconds",
    "owner_id", "labels", "created_at", "scheduled_at", "expires_at", "due_at", "dispatched_at",
    "solo", "callback_url", "run_id", "step", "request_id", "traceparent",
    "concurrency_key", "ordering_key", "after_failure",
)  # fmt: skip
SETTLED = ("updated_at", "due_at", "dispatched_at", "gated")
MOST_ROWS = 1_000  # of one statement
FEW_ROWS = 8  # up to here a list of values is cheaper, from here on PostgreSQL reads JSON faster than so many constants

_COLUMNS = Task.metadata.tables["tasks"].c
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_JSON = frozenset(name for name in WRITTEN if isinstance(_COLUMNS[name].type, JSONB))
_NAMES = ", ".join(WRITTEN)
_TYPE_OF = {name: _COLUMNS[name].type.compile(dialect=_DIALECT) for name in WRITTEN}
_TYPES = ", ".join(f"{name} {type_}" for name, type_ in _TYPE_OF.items())
# A null in JSON becomes SQL's null on its way through json_to_recordset; a payload may be null, and stays JSON's.
_READ = ", ".join(
    f"coalesce({name}, 'null')" if name in _JSON and not _COLUMNS[name].nullable else name for name in WRITTEN
)
_FROM_JSON = (
    f"INSERT INTO tasks ({_NAMES}) SELECT {_READ} FROM json_to_recordset(CAST(%(rows)s AS json)) AS task({_TYPES}) "
    f"RETURNING id, {', '.join(SETTLED)}"
)


def insert(connection: sa.Connection, records: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Store them, and return them as the triggers left them, in the same order.

    The statement goes to the driver as it is: compiling it, and reading back rows as objects, would cost more than
    the insert.
    """
    stored: list[TaskRecord] = []
    for start in range(0, len(records), MOST_ROWS):
        stored += _insert(connection, records[start : start + MOST_ROWS])
    return stored


def _insert(connection: sa.Connection, records: Sequence[TaskRecord]) -> list[TaskRecord]:
    if len(records) <= FEW_ROWS:
        bound = {
            f"{name}_{number}": _bound(name, getattr(record, name))
            for number, record in enumerate(records)
            for name in WRITTEN
        }
        rows = _values(len(records)).run(connection, bound).all()
    else:
        text = to_json([{name: _plain(getattr(record, name)) for name in WRITTEN} for record in records])
        rows = connection.exec_driver_sql(_FROM_JSON, {"rows": text}).all()
    settled: dict[UUID, dict[str, Any]] = {row[0]: dict(zip(SETTLED, row[1:], strict=True)) for row in rows}
    return [replace(record, **settled[record.id]) for record in records]


@lru_cache(maxsize=FEW_ROWS)
def _values(rows: int) -> Prepared:
    places = (f"({', '.join(f':{name}_{number}' for name in WRITTEN)})" for number in range(rows))
    text = f"INSERT INTO tasks ({_NAMES}) VALUES {', '.join(places)} RETURNING id, {', '.join(SETTLED)}"
    types = {f"{name}_{number}": type_ for number in range(rows) for name, type_ in _TYPE_OF.items()}
    return Prepared(f"insert_{rows}", text, **types)


def _bound(name: str, value: Any) -> Any:
    """A value as the driver writes it without a type of SQLAlchemy's in between."""
    if name in _JSON:
        return None if value is None and _COLUMNS[name].nullable else to_json(value)
    return str(value) if isinstance(value, UUID) else value


def _plain(value: Any) -> Any:
    """A value as JSON that PostgreSQL reads back as the same."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
