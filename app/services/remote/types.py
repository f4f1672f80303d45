"""Remote types as they are stored: beside the types of the code, in the same table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

import sqlalchemy as sa

from app.database import Session
from app.models import KnownType
from app.services.remote import schemas
from app.services.remote.queues import queue_of
from taskledger_sdk.registry import TaskType
from taskledger_sdk.retry import RetryPolicy

TYPES = KnownType.metadata.tables["task_types"]


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


def made(declaration: Declaration) -> TaskType:
    """The task type that is declared. Raises BadDeclaration."""
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


_READ = sa.select(TYPES.c.name, TYPES.c.schema, TYPES.c.options).where(TYPES.c.options.is_not(None))


def stamps(session: Session) -> dict[str, datetime]:
    """The remote types that are not retired, each with when it was last changed."""
    query = sa.select(TYPES.c.name, TYPES.c.updated_at)
    rows = session.execute(query.where(TYPES.c.options.is_not(None), TYPES.c.retired_at.is_(None)))
    return {row.name: row.updated_at for row in rows}


def read(session: Session, names: Sequence[str]) -> dict[str, TaskType]:
    """Remote types by name, retired ones among them: their tasks are still worked off."""
    rows = session.execute(_READ.where(TYPES.c.name.in_(list(names)))).mappings()
    return {row["name"]: made(_declaration(row)) for row in rows}


def _declaration(row: Any) -> Declaration:
    options = dict(row["options"])
    options |= {name: tuple(options[name]) for name in ("examples", "search")}
    return Declaration(name=row["name"], schema=row["schema"], **options)
