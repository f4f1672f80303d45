"""Tasks in rows, for files that others read: in pages, so that a million of them need no memory."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Task
from app.services.encryption import ciphertexts
from app.services.export.event_rows import is_sensitive, shown_result
from app.services.retention import first_id_at
from tasks.masking import MASKED, masked

PAGE = 1_000
CLOCKS = timedelta(hours=1)  # an id has the time of the host that made it, created_at that of PostgreSQL
TASKS = Task.metadata.tables["tasks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedTask:
    """One task; payload and result as they may be shown."""

    id: UUID
    type: str
    name: str | None
    status: str
    reason: str | None
    priority: str
    queue: str
    attempt: int
    max_retries: int
    owner_id: UUID | None
    labels: Any
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    error_type: str | None
    error_message: str | None
    payload: Any
    result: Any


COLUMNS = tuple(field.name for field in fields(ExportedTask))
_STORED = tuple(TASKS.c[name] for name in COLUMNS if name not in ("error_type", "error_message"))


def created_between(session: Session, begin: datetime, end: datetime) -> Iterator[ExportedTask]:
    """The tasks that were accepted from `begin` until before `end`, oldest first."""
    after = first_id_at(begin - CLOCKS)
    query = (
        sa.select(*_STORED, TASKS.c.error)
        .where(TASKS.c.id >= sa.bindparam("after"), TASKS.c.id < first_id_at(end + CLOCKS))
        .order_by(TASKS.c.id)
        .limit(PAGE)
    )
    while True:
        rows = session.execute(query, {"after": after}).mappings().all()
        for row in rows:
            if begin <= row["created_at"] < end:
                yield _exported(dict(row))
        if len(rows) < PAGE:
            return
        after = UUID(int=rows[-1]["id"].int + 1)


def _exported(row: dict[str, Any]) -> ExportedTask:
    error = row.pop("error") or {}
    hidden = is_sensitive(row["type"]) or ciphertexts.is_encrypted(row["payload"])
    row["payload"] = MASKED if hidden else masked(row["type"], row["payload"])
    row["result"] = shown_result(row["type"], row["result"])
    return ExportedTask(**row, error_type=error.get("type"), error_message=error.get("message"))
