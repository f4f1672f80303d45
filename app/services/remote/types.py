"""Remote types as admins declare them: stored beside the types of the code, in the same table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NoReturn

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound, Refused
from app.models import KnownType
from app.services.admission import declared as declared_limits
from app.services.remote import schemas
from app.services.remote.queues import queue_of
from app.services.sql import published
from taskledger_sdk.errors import BadDeclaration, PayloadRefused
from taskledger_sdk.registry import TaskType, load_types
from taskledger_sdk.retry import RetryPolicy

TYPES = KnownType.metadata.tables["task_types"]
MAX_TYPES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """What an admin says of a remote type; None means what task types have by themselves."""

    name: str
    schema: Mapping[str, Any]
    summary: str = ""
    description: str = ""
    examples: tuple[Any, ...] = ()
    timeout: int = 300
    grace_seconds: int = 10
    lease_seconds: int | None = None
    retry: Mapping[str, Any] = field(default_factory=dict)
    ordering_key: str | None = None
    after_failure: str | None = None
    concurrency_key: str | None = None
    rate: str | None = None
    concurrency: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    reaches_outside: bool = False


_STORED_ELSEWHERE = ("name", "schema")  # in columns of their own


def task_type(declaration: Declaration) -> TaskType:
    """The task type that is declared. Raises Refused, with the path of what is wrong. Pure."""
    schemas.check(declaration.schema)
    try:
        made = _made(declaration)
    except BadDeclaration as error:
        raise Refused({_field_of(str(error)): [str(error).removeprefix(f"{declaration.name}: ")]}) from None
    for index, example in enumerate(declaration.examples):
        try:
            made.check(example)
        except PayloadRefused as error:
            raise Refused({"examples": {str(index): [str(error)]}}) from None
    return made


_FIELDS = {"timeout_seconds": "timeout", "RetryPolicy": "retry", "its": "_schema", "label": "labels"}


def _field_of(message: str) -> str:
    """The field that a fault of a task type is about: it begins with the option's name."""
    words = message.replace("=", " ").replace("(", " ").split()
    named = [word.strip("',:") for word in words[:3]]
    return next(
        (_FIELDS.get(word, word) for word in named if word in _FIELDS or word in Declaration.__slots__), "_schema"
    )


def _made(declaration: Declaration) -> TaskType:
    return TaskType(
        name=declaration.name,
        handler=_runs_elsewhere,
        payload=schemas.SchemaCheck(declaration.schema),
        retry=RetryPolicy(**declaration.retry),
        timeout_seconds=declaration.timeout,
        grace_seconds=declaration.grace_seconds,
        lease_seconds=declaration.lease_seconds,
        queue=queue_of(declaration.name),
        reaches_outside=declaration.reaches_outside,
        ordering_key=declaration.ordering_key,
        after_failure=declaration.after_failure,
        concurrency_key=declaration.concurrency_key,
        rate=declaration.rate,
        concurrency=declaration.concurrency,
        labels=dict(declaration.labels),
        search=tuple(declaration.search),
        examples=tuple(declaration.examples),
        summary=declaration.summary,
        description=declaration.description,
        remote=True,
    )


def _runs_elsewhere(*_: Any) -> NoReturn:
    """Stands where the types of the code have their handler."""
    raise AssertionError("a remote type has no handler here")


_LOCKED = sa.text("SELECT options IS NOT NULL AS remote, retired_at FROM task_types WHERE name = :name FOR UPDATE")
_COUNT = sa.text("SELECT count(*) FROM task_types WHERE options IS NOT NULL AND retired_at IS NULL AND name <> :name")
_RETIRE = sa.text("""
    UPDATE task_types
    SET retired_at = :now, updated_at = :now
    WHERE name = :name AND options IS NOT NULL AND retired_at IS NULL
    RETURNING name
""")
# One at a time: two that declare one name must not both find that it is free.
_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtext('taskledger remote types'))")


def declare(session: Session, declaration: Declaration, *, now: datetime) -> TaskType:
    """Store a type that is not there, or was retired. Raises Refused, and Conflict for a name that is taken."""
    made = task_type(declaration)
    row = _row(session, declaration.name)
    if row is not None and row.retired_at is None:
        what = "PUT changes it" if row.remote else "its code declares it"
        raise NameTaken(f"There is a task type {declaration.name} already, and {what}; choose another name.")
    if (session.scalar(_COUNT, {"name": declaration.name}) or 0) >= MAX_TYPES:
        raise Refused({"name": [f"would be more than {MAX_TYPES} remote types; retire some first"]})
    _store(session, declaration, made, now)
    return made


def change(session: Session, declaration: Declaration, *, now: datetime) -> TaskType:
    """Replace what is said of a type. Raises Refused, and NotFound for one that is none of these."""
    made = task_type(declaration)
    row = _row(session, declaration.name)
    if row is None or not row.remote or row.retired_at is not None:
        raise _not_there(declaration.name)
    _store(session, declaration, made, now)
    return made


def retire(session: Session, name: str, *, now: datetime) -> None:
    """Take no more submissions of a type; what waits can still be worked off. Raises NotFound."""
    session.execute(_ONE_AT_A_TIME)
    if session.scalar(_RETIRE, {"name": name, "now": now}) is None:
        raise _not_there(name)
    declared_limits.remove_one(session, name)


class NameTaken(Conflict):
    """Another task type has this name."""

    code = "name_taken"


def _not_there(name: str) -> NotFound:
    return NotFound(f"There is no remote type {name!r}: GET /api/v1/task-types lists the types, `remote` tells which.")


def _row(session: Session, name: str) -> Any:
    session.execute(_ONE_AT_A_TIME)
    if name in load_types():
        raise NameTaken(f"There is a task type {name} already, and its code declares it; choose another name.")
    return session.execute(_LOCKED, {"name": name}).first()


def _store(session: Session, declaration: Declaration, made: TaskType, now: datetime) -> None:
    published.remote_type(session, made, options=_options(declaration), now=now)
    declared_limits.sync_one(session, made, now=now)


def _options(declaration: Declaration) -> dict[str, Any]:
    return {name: value for name, value in asdict(declaration).items() if name not in _STORED_ELSEWHERE}


_READ = sa.select(TYPES.c.name, TYPES.c.schema, TYPES.c.options).where(TYPES.c.options.is_not(None))


def stamps(session: Session) -> dict[str, datetime]:
    """The remote types that are not retired, each with when it was last changed."""
    query = sa.select(TYPES.c.name, TYPES.c.updated_at)
    rows = session.execute(query.where(TYPES.c.options.is_not(None), TYPES.c.retired_at.is_(None)))
    return {row.name: row.updated_at for row in rows}


def read(session: Session, names: Sequence[str]) -> dict[str, TaskType]:
    """Remote types by name, retired ones among them: their tasks are still worked off."""
    rows = session.execute(_READ.where(TYPES.c.name.in_(list(names)))).mappings()
    return {row["name"]: _made(_declaration(row)) for row in rows}


def _declaration(row: Any) -> Declaration:
    options = dict(row["options"])
    options |= {name: tuple(options[name]) for name in ("examples", "search")}
    return Declaration(name=row["name"], schema=row["schema"], **options)


__all__ = ["Declaration", "NameTaken", "change", "declare", "read", "retire", "stamps", "task_type"]
