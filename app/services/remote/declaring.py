"""What admins do with remote types: declare, change and retire them."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound, Refused
from app.services.admission import declared as declared_limits
from app.services.remote import schemas, types
from app.services.remote.types import Declaration
from app.services.sql import published
from taskledger_sdk.errors import BadDeclaration, PayloadRefused
from taskledger_sdk.registry import TaskType, load_types

MAX_TYPES = 500
_STORED_ELSEWHERE = ("name", "schema")  # in columns of their own


def task_type(declaration: Declaration) -> TaskType:
    """The task type that is declared. Raises Refused, with the path of what is wrong. Pure."""
    schemas.check(declaration.schema)
    try:
        made = types.made(declaration)
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
