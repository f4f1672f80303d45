"""Telling the database what its functions need: the task types as their code declares them, and three settings."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.config import Settings
from app.database import Session
from app.models import KnownType, SqlCount, SqlLimit
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType
from tasks.masking import EVERYTHING, masked_keys

TYPES = KnownType.metadata.tables["task_types"]
LIMITS = SqlLimit.metadata.tables["sql_limits"]
COUNTS = SqlCount.metadata.tables["sql_counts"]
KINDS = ("array", "boolean", "null", "number", "object", "string")
COUNTS_KEPT = timedelta(days=1)
_KEPT = ("name", "enabled", "updated_at", "earlier_hashes")  # what does not make a type differ from what is written
MAX_EARLIER = 100
# The hash of the row becomes an earlier one, the newest; the new one may have been among them.
_EARLIER: sa.ColumnElement[Any] = sa.literal_column(f"""
    CASE
    WHEN task_types.schema_hash = excluded.schema_hash THEN task_types.earlier_hashes
    ELSE array_append(
        (array_remove(task_types.earlier_hashes, excluded.schema_hash))[
            greatest(1, cardinality(task_types.earlier_hashes) - {MAX_EARLIER - 2}):
        ],
        task_types.schema_hash
    ) END
""")

_IS_OF_CODE = sa.or_(TYPES.c.options.is_(None), TYPES.c.retired_at.is_not(None))

__all__ = ["EVERYTHING", "known_keys", "limits", "payload_kinds", "remote_type", "retire_others", "row_of", "types"]


def types(session: Session, task_types: Iterable[TaskType], *, now: datetime) -> None:
    """Write what the code says of these types, as the release that is set up now has it.

    Rows that say so already are left alone, `enabled` always. So is a remote type: it keeps its name until an admin
    retires it.
    """
    for task_type in sorted(task_types, key=lambda each: each.name):
        _write(session, task_type, now=now, only_newer=False)


def newer_types(session: Session, task_types: Iterable[TaskType], *, now: datetime) -> None:
    """Write types that are not known yet, and those whose schema is new: what a worker may tell that starts.

    A worker cannot know whether its release is the newest. A type as the row has it, or had it earlier, is older, and
    `setup` decides: of retired types, too.
    """
    for task_type in sorted(task_types, key=lambda each: each.name):
        _write(session, task_type, now=now, only_newer=True)


def _write(session: Session, task_type: TaskType, *, now: datetime, only_newer: bool) -> None:
    statement = insert(TYPES).values(**row_of(task_type), options=None, updated_at=now)
    new = statement.excluded
    changing = [column for column in TYPES.c if column.name not in _KEPT]
    differs = sa.or_(*(column.is_distinct_from(new[column.name]) for column in changing))
    if only_newer:
        known = sa.func.array_append(TYPES.c.earlier_hashes, TYPES.c.schema_hash)
        differs = new.schema_hash != sa.all_(known)
    written: dict[str, Any] = {column.name: new[column.name] for column in changing}
    written["earlier_hashes"] = _EARLIER
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[TYPES.c.name],
            set_={**written, "updated_at": now},
            where=sa.and_(differs, _IS_OF_CODE),
        )
    )


def remote_type(session: Session, task_type: TaskType, *, options: dict[str, Any], now: datetime) -> None:
    """Write what an admin says of a remote type; whoever calls it has seen that the name is free, or the type's own."""
    written = {**row_of(task_type), "options": options, "updated_at": now}
    statement = insert(TYPES).values(**written)
    session.execute(statement.on_conflict_do_update(index_elements=[TYPES.c.name], set_=written))


def retire_others(session: Session, names: Iterable[str], *, now: datetime) -> None:
    """Types of other names are gone from the code: nothing of them may be submitted any more."""
    gone = sa.and_(TYPES.c.name.not_in(list(names)), TYPES.c.retired_at.is_(None), TYPES.c.options.is_(None))
    session.execute(sa.update(TYPES).where(gone).values(retired_at=now))


def limits(session: Session, settings: Settings, *, now: datetime) -> None:
    """Write the settings that functions apply, and forget the counts of connections long gone."""
    values = {
        "max_payload_bytes": settings.max_payload_bytes,
        "max_waiting_tasks": settings.max_waiting_tasks,
        "new_accounts_reach_outside": int(settings.lets_new_accounts_out),
    }
    for name, value in values.items():
        statement = insert(LIMITS).values(name=name, value=value)
        session.execute(statement.on_conflict_do_update(index_elements=[LIMITS.c.name], set_={"value": value}))
    session.execute(sa.delete(COUNTS).where(COUNTS.c.counted_at < now - COUNTS_KEPT, COUNTS.c.backend != 0))


def row_of(task_type: TaskType) -> dict[str, Any]:
    """What the database must know of a type; the columns of task_types but for enabled, options and updated_at."""
    schema = task_type.payload.json_schema()
    return {
        "name": task_type.name,
        "summary": task_type.summary,
        "sensitive": task_type.sensitive,
        "internal": task_type.internal,
        "reaches_outside": task_type.reaches_outside,
        "queue": task_type.queue,
        "chunk": task_type.chunk,
        "max_retries": task_type.retry.max_retries,
        "timeout_seconds": task_type.timeout_seconds,
        "longest_timeout_seconds": MAX_TIMEOUT_SECONDS,
        "payload_kinds": sorted(payload_kinds(schema)),
        "required_keys": sorted(_required(schema)),
        "known_keys": None if (known := known_keys(schema)) is None else sorted(known),
        "masked_keys": sorted(masked_keys(task_type.payload)),
        "schema": schema,
        "schema_hash": task_type.schema_hash,
        "defaults": _defaults(task_type),
        "retired_at": None,
    }


def _defaults(task_type: TaskType) -> dict[str, Any] | None:
    """What submissions take from the payload; a failure's effect goes with an ordering key, which SQL cannot give."""
    made = task_type.defaults
    if made is None:
        return None
    after_failure = None if made.ordering_key is None else task_type.after_failure
    return {**made.as_json(), "after_failure": after_failure}


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [*schema.get("oneOf", ()), *schema.get("anyOf", ())]


def payload_kinds(schema: dict[str, Any]) -> set[str]:
    """Kinds of JSON that may fit; all of them where the schema leaves it open."""
    declared_type = schema.get("type")
    if declared_type is None:
        below = [payload_kinds(choice) for choice in _choices(schema)]
        return set().union(*below) if below else set(KINDS)
    words = [declared_type] if isinstance(declared_type, str) else declared_type
    names = {"number" if word == "integer" else word for word in words}
    return names | ({"null"} if any(choice.get("type") == "null" for choice in _choices(schema)) else set())


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives that are objects with keys of their own; the schema itself where it is one."""
    return [each for each in (_choices(schema) or [schema]) if "properties" in each]


def _required(schema: dict[str, Any]) -> set[str]:
    """Keys that every alternative needs."""
    needed = [set(each.get("required", ())) for each in _objects(schema)]
    return set.intersection(*needed) if needed else set()


def known_keys(schema: dict[str, Any]) -> set[str] | None:
    """Keys that some alternative takes; None where keys are free, or the payload is no object."""
    shapes = _objects(schema)
    is_closed = bool(shapes) and all(each.get("additionalProperties") is False for each in shapes)
    return set().union(*(each["properties"] for each in shapes)) if is_closed else None
