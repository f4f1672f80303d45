"""The statement that makes tasks durable: one INSERT for any number of rows."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Prepared, to_json
from app.models import Task, TaskRecord
from app.models.task import COLUMN_OF

# What a new row differs in; the other columns have defaults. Triggers may change what comes back from the row itself: a
# task under a limit is held until it is admitted, one that expires early is looked at then.
WRITTEN = (
    "id", "type", "name", "status", "payload", "priority", "queue", "max_retries", "timeout_seconds",
    "owner_id", "labels", "created_at", "scheduled_at", "expires_at", "due_at", "dispatched_at",
    "solo", "callback_url", "run_id", "step", "request_id", "traceparent",
    "concurrency_key", "ordering_key", "after_failure", "parent_id",
)  # fmt: skip
SETTLED = ("updated_at", "due_at", "dispatched_at", "gated")
MAX_ROWS = 1_000  # of one statement
FEW_ROWS = 8  # up to here a list of values is cheaper, from here on PostgreSQL reads JSON faster than so many constants

_COLUMNS = Task.metadata.tables["tasks"].c
_DIALECT = postgresql.dialect()
_JSON = frozenset(name for name in WRITTEN if isinstance(_COLUMNS[name].type, JSONB))
_NAMES = ", ".join(WRITTEN)
_RETURNING = f"RETURNING CAST(id AS text), {', '.join(SETTLED)}"
_TYPE_OF = {name: _COLUMNS[name].type.compile(dialect=_DIALECT) for name in WRITTEN}
_FIELD_OF = {column: field for field, column in COLUMN_OF.items()}
_SETTLED_FIELDS = tuple(_FIELD_OF[column] for column in SETTLED)
_ALL = attrgetter(*(_FIELD_OF[column] for column in WRITTEN))


def insert(connection: sa.Connection, records: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Store them, and return them as the triggers left them, in the same order.

    The statement goes to the driver as it is: compiling it, and reading back rows as objects, would cost more than
    the insert.
    """
    stored: list[TaskRecord] = []
    for start in range(0, len(records), MAX_ROWS):
        stored += _insert(connection, records[start : start + MAX_ROWS])
    return stored


def _insert(connection: sa.Connection, records: Sequence[TaskRecord]) -> list[TaskRecord]:
    if len(records) <= FEW_ROWS:
        bound = {
            f"{name}_{number}": _bound(name, value)
            for number, record in enumerate(records)
            for name, value in zip(WRITTEN, _ALL(record), strict=True)
        }
        rows = _values(len(records)).run(connection, bound).all()
    else:
        rows = _insert_many(connection, records).all()
    settled = {row[0]: row[1:] for row in rows}
    return [replace(record, **dict(zip(_SETTLED_FIELDS, settled[str(record.id)], strict=True))) for record in records]


def _insert_many(connection: sa.Connection, records: Sequence[TaskRecord]) -> sa.CursorResult[Any]:
    """What all rows have in common is sent once; PostgreSQL reads the rest as JSON."""
    columns = dict(zip(WRITTEN, zip(*map(_ALL, records), strict=True), strict=True))
    differing = tuple(name for name in WRITTEN if not _is_common(name, columns[name]))
    values = zip(*(columns[name] if name in _JSON else map(_plain, columns[name]) for name in differing), strict=True)
    bound = {name: _bound(name, columns[name][0]) for name in WRITTEN if name not in differing}
    bound["rows"] = to_json([dict(zip(differing, row, strict=True)) for row in values])
    return connection.exec_driver_sql(_from_json(differing), bound)


def _is_common(name: str, column: Sequence[Any]) -> bool:
    if name in _JSON:  # true equals 1 here, and not there; but nothing equals an object of nothing
        return all(value == {} for value in column)
    return column.count(column[0]) == len(column)


@lru_cache(maxsize=100)
def _from_json(differing: tuple[str, ...]) -> str:
    # A null in JSON becomes SQL's null on its way through json_to_recordset; a payload may be null, and stays JSON's.
    read = ", ".join(
        f"CAST(%({name})s AS {_TYPE_OF[name]})"
        if name not in differing
        else f"coalesce({name}, 'null')"
        if name in _JSON and not _COLUMNS[name].nullable
        else name
        for name in WRITTEN
    )
    types = ", ".join(f"{name} {_TYPE_OF[name]}" for name in differing)
    return f"""
        INSERT INTO tasks ({_NAMES})
        SELECT {read}
        FROM json_to_recordset(CAST(%(rows)s AS json)) AS task({types}) {_RETURNING}
    """


@lru_cache(maxsize=FEW_ROWS)
def _values(rows: int) -> Prepared:
    places = (f"({', '.join(f':{name}_{number}' for name in WRITTEN)})" for number in range(rows))
    text = f"INSERT INTO tasks ({_NAMES}) VALUES {', '.join(places)} {_RETURNING}"
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
