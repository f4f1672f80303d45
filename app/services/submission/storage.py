"""Storing what was drafted: one INSERT for any number of rows, and their hints once it is committed."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from msgspec import to_builtins
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Prepared, Session, texts, to_json
from app.messaging import Hint, coalesce, dispatch_soon
from app.models import Task, TaskRecord
from app.models.task import COLUMN_OF
from app.services.lifecycle import left_to_dispatcher

# What a new row differs in; the other columns have defaults. Triggers may change what comes back from the row itself: a
# task under a limit is held until it is admitted, one that expires early is looked at then.
WRITTEN = (
    "id", "type", "name", "status", "payload", "priority", "queue", "max_retries", "timeout_seconds",
    "owner_id", "labels", "created_at", "scheduled_at", "expires_at", "due_at", "dispatched_at",
    "solo", "callback_url", "run_id", "step", "request_id", "traceparent",
    "concurrency_key", "ordering_key", "after_failure", "parent_id", "schema_hash",
)  # fmt: skip
SETTLED = ("updated_at", "due_at", "dispatched_at", "gated")
DIGEST = "submission_digest"
WITH_DIGEST = (*WRITTEN, DIGEST)
MAX_ROWS = 1_000  # of one statement
FEW_ROWS = 8  # up to here a list of values is cheaper, from here on PostgreSQL reads JSON faster than so many constants

_COLUMNS = Task.metadata.tables["tasks"].c
_DIALECT = postgresql.dialect()
_JSON = frozenset(name for name in WRITTEN if isinstance(_COLUMNS[name].type, JSONB))
_RETURNING = f"RETURNING CAST(id AS text), {', '.join(SETTLED)}"
_TYPE_OF = {name: _COLUMNS[name].type.compile(dialect=_DIALECT) for name in WITH_DIGEST}
_FIELD_OF = {column: field for field, column in COLUMN_OF.items()}
_SETTLED_FIELDS = tuple(_FIELD_OF[column] for column in SETTLED)
_ALL = attrgetter(*(_FIELD_OF[column] for column in WRITTEN))

Row = tuple[Any, ...]


class Identified(NamedTuple):
    """A draft whose id the caller chose, and the digest of what was said with it, in hexadecimal."""

    record: TaskRecord
    digest: str


def store(session: Session, drafts: Sequence[TaskRecord], *, is_urgent: bool = True) -> list[TaskRecord]:
    """Insert the drafts with one statement; returns them as the triggers left them, in the same order.

    Their hints are published after the commit. With `is_urgent=False` none is: the dispatcher finds the tasks that are
    due, in one of its next looks. That is for what the service submits to itself in large numbers.
    """
    if not drafts:
        return []
    if not is_urgent:
        return insert(session.connection(), [left_to_dispatcher(draft) for draft in drafts])
    stored = insert(session.connection(), drafts)
    publish_after_commit(session, (task for task in stored if task.dispatched_at is not None))
    return stored


def store_new(session: Session, drafts: Sequence[TaskRecord | Identified]) -> list[TaskRecord | None]:
    """The same of drafts that may have ids of their callers: None in the place of one whose id is taken."""
    if not drafts:
        return []
    stored = insert_new(session.connection(), drafts)
    publish_after_commit(session, (task for task in stored if task is not None and task.dispatched_at is not None))
    return stored


def publish_after_commit(session: Session, tasks: Iterable[TaskRecord]) -> None:
    """Publish the tasks' hints when the session commits; a hint that is lost costs a few seconds.

    Within a savepoint it publishes nothing when that is rolled back, and otherwise waits for the transaction to end.
    A session that commits each statement has committed already: there the hints go out at once.
    """
    if waiting := list(tasks):
        session.after_commit(lambda: publish(waiting))


def publish(tasks: Iterable[TaskRecord]) -> None:
    """Hand the hints of committed tasks to the publisher; those of one kind travel together."""
    dispatch_soon(*coalesce(Hint.of(task) for task in tasks))


def insert(connection: sa.Connection, records: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Store them, and return them as the triggers left them, in the same order.

    The statement goes to the driver as it is: compiling it, and reading back rows as objects, would cost more than
    the insert.
    """
    stored: list[TaskRecord] = []
    for start in range(0, len(records), MAX_ROWS):
        part = records[start : start + MAX_ROWS]
        settled = _insert(connection, list(map(_ALL, part)), has_digests=False)
        ids = texts(record.id for record in part)
        stored += [_settled(record, settled[id_]) for record, id_ in zip(part, ids, strict=True)]
    return stored


def insert_new(connection: sa.Connection, drafts: Sequence[TaskRecord | Identified]) -> list[TaskRecord | None]:
    """The same of drafts that may have ids of their callers: None in the place of one whose id is taken."""
    if not any(isinstance(draft, Identified) for draft in drafts):
        return list(insert(connection, [draft for draft in drafts if isinstance(draft, TaskRecord)]))
    stored: list[TaskRecord | None] = []
    for start in range(0, len(drafts), MAX_ROWS):
        pairs = [_pair(draft) for draft in drafts[start : start + MAX_ROWS]]
        rows = [(*_ALL(record), digest) for record, digest in pairs]
        settled = _insert(connection, rows, has_digests=True)
        # Of two with one id, the first is stored.
        ids = texts(record.id for record, _ in pairs)
        found = ((record, settled.pop(id_, None)) for (record, _), id_ in zip(pairs, ids, strict=True))
        stored += [None if values is None else _settled(record, values) for record, values in found]
    return stored


def _pair(draft: TaskRecord | Identified) -> tuple[TaskRecord, str | None]:
    return (draft.record, f"\\x{draft.digest}") if isinstance(draft, Identified) else (draft, None)


def _settled(record: TaskRecord, values: Row) -> TaskRecord:
    return replace(record, **dict(zip(_SETTLED_FIELDS, values, strict=True)))


def _insert(connection: sa.Connection, rows: Sequence[Row], *, has_digests: bool) -> dict[str, Row]:
    """What the triggers settled, by id; of rows with digests, of those whose id was not taken."""
    names = WITH_DIGEST if has_digests else WRITTEN
    if len(rows) <= FEW_ROWS:
        bound = (_BINDERS[name](value) for row in rows for name, value in zip(names, row, strict=True))
        parameters = dict(zip(_places(names, len(rows)), bound, strict=True))
        returned = _values(len(rows), has_digests).run(connection, parameters).all()
    else:
        returned = _insert_many(connection, names, rows, has_digests=has_digests).all()
    return {row[0]: row[1:] for row in returned}


def _insert_many(
    connection: sa.Connection, names: tuple[str, ...], rows: Sequence[Row], *, has_digests: bool
) -> sa.CursorResult[Any]:
    """What all rows have in common is sent once; PostgreSQL reads the rest as JSON."""
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    differing = tuple(name for name in names if not _is_common(name, columns[name]))
    values = zip(*(columns[name] if name in _JSON else to_builtins(columns[name]) for name in differing), strict=True)
    bound = {name: _BINDERS[name](columns[name][0]) for name in names if name not in differing}
    bound["rows"] = to_json([dict(zip(differing, row, strict=True)) for row in values])
    return connection.exec_driver_sql(_from_json(differing, has_digests), bound)


def _is_common(name: str, column: Sequence[Any]) -> bool:
    if name in _JSON:  # true equals 1 here, and not there; but nothing equals an object of nothing
        return all(value == {} for value in column)
    return column.count(column[0]) == len(column)


def _end(has_digests: bool) -> str:
    return f"ON CONFLICT (id) DO NOTHING {_RETURNING}" if has_digests else _RETURNING


@lru_cache(maxsize=100)
def _from_json(differing: tuple[str, ...], has_digests: bool) -> str:
    names = WITH_DIGEST if has_digests else WRITTEN
    # A null in JSON becomes SQL's null on its way through json_to_recordset; a payload may be null, and stays JSON's.
    read = ", ".join(
        f"CAST(%({name})s AS {_TYPE_OF[name]})"
        if name not in differing
        else f"coalesce({name}, 'null')"
        if name in _JSON and not _COLUMNS[name].nullable
        else name
        for name in names
    )
    types = ", ".join(f"{name} {_TYPE_OF[name]}" for name in differing)
    return f"""
        INSERT INTO tasks ({", ".join(names)})
        SELECT {read}
        FROM json_to_recordset(CAST(%(rows)s AS json)) AS task({types}) {_end(has_digests)}
    """


@lru_cache(maxsize=2 * FEW_ROWS)
def _values(rows: int, has_digests: bool) -> Prepared:
    names = WITH_DIGEST if has_digests else WRITTEN
    places = [f":{place}" for place in _places(names, rows)]
    by_row = (f"({', '.join(places[start : start + len(names)])})" for start in range(0, len(places), len(names)))
    text = f"INSERT INTO tasks ({', '.join(names)}) VALUES {', '.join(by_row)} {_end(has_digests)}"
    types = zip(_places(names, rows), [_TYPE_OF[name] for name in names] * rows, strict=True)
    return Prepared(f"insert_{'new_' if has_digests else ''}{rows}", text, **dict(types))


@lru_cache(maxsize=2 * FEW_ROWS)
def _places(names: tuple[str, ...], rows: int) -> tuple[str, ...]:
    """The names of the statement's values, row by row."""
    return tuple(f"{name}_{number}" for number in range(rows) for name in names)


def _binder(name: str) -> Callable[[Any], Any]:
    if name in _JSON and not _COLUMNS[name].nullable:
        return to_json
    if name in _JSON:
        return lambda value: None if value is None else to_json(value)
    return lambda value: str(value) if isinstance(value, UUID) else value


_BINDERS = {name: _binder(name) for name in WITH_DIGEST}
"""What makes of a column's value what the driver writes without a type of SQLAlchemy's in between."""
