"""Unique tasks: while one is there, submitting its like again returns it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Refused
from app.models import FINISHED, Status, Task, TaskRecord
from app.models.task import RECORD_COLUMNS
from taskledger_sdk.registry import TaskType

UNFINISHED = tuple(sorted(status.value for status in set(Status) - FINISHED))
_TASKS = Task.metadata.tables["tasks"]
_NOBODY = UUID(int=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unique:
    """What must not be there twice: `by` are `type`, `payload`, `payload.<key>` and `labels.<key>`.

    It holds for `seconds` after the submission (None: without end) while the first task is in one of `states`.
    """

    by: tuple[str, ...]
    seconds: int | None = None
    states: tuple[str, ...] = UNFINISHED


class Likeness(Protocol):
    """The parts of a task that can be compared."""

    @property
    def type(self) -> str:
        """The name of the task type."""

    @property
    def payload(self) -> Any:
        """The payload as JSON."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels by name."""


# As with idempotency keys: the insert waits for a concurrent one, and only a new statement sees what that committed.
_TAKE = sa.text("""
    INSERT INTO unique_tasks (owner_id, fingerprint, task_id, expires_at)
    VALUES (:owner, :fingerprint, :task_id, :expires_at)
    ON CONFLICT DO NOTHING
    RETURNING task_id
""")
_HOLDER = sa.text("""
    SELECT task_id
    FROM unique_tasks
    WHERE owner_id = :owner AND fingerprint = :fingerprint AND (expires_at IS NULL OR expires_at > :now)
    FOR UPDATE
""")
_REPLACE = sa.text("""
    INSERT INTO unique_tasks (owner_id, fingerprint, task_id, expires_at)
    VALUES (:owner, :fingerprint, :task_id, :expires_at)
    ON CONFLICT (owner_id, fingerprint) DO UPDATE SET task_id = excluded.task_id, expires_at = excluded.expires_at
""")
_GIVE_BACK = sa.text(
    "DELETE FROM unique_tasks WHERE owner_id = :owner AND fingerprint = :fingerprint AND task_id = :task_id"
)
_FORGET = sa.text("""
    DELETE FROM unique_tasks
    WHERE (owner_id, fingerprint) IN (
        SELECT owner_id, fingerprint
        FROM unique_tasks
        WHERE expires_at < :now OR NOT EXISTS (SELECT FROM tasks WHERE id = task_id)
        LIMIT :limit
    )
""")


def fingerprint(made: Likeness, unique: Unique) -> str:
    """Equal for tasks that are alike in all that `unique.by` names, labels of their type among it. Pure.

    The payload of a sensitive type is encrypted by then; `check` has refused to compare it.
    """
    values = [[part, _value(made, part)] for part in sorted(set(unique.by))]
    canonical = json.dumps([values, sorted(unique.states)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def check(task_type: TaskType, unique: Unique) -> None:
    """Raises Refused where a digest of the payload would tell what nobody is to know."""
    if task_type.sensitive and any(part.startswith("payload") for part in unique.by):
        raise Refused(
            {"unique": {"by": [f"{task_type.name} is sensitive: name type or labels.<key>, not its payload"]}}
        )


def _value(made: Likeness, part: str) -> Any:
    if part == "type":
        return made.type
    if part == "payload":
        return made.payload
    place, _, key = part.partition(".")
    found = made.labels if place == "labels" else made.payload
    return found.get(key) if isinstance(found, Mapping) else None


def take(session: Session, made: TaskRecord, unique: Unique, *, now: datetime) -> TaskRecord | None:
    """Take the place for a new task: None when it is its own, else the task that holds it."""
    place = {"owner": made.owner_id or _NOBODY, "fingerprint": fingerprint(made, unique)}
    ends = now + timedelta(seconds=unique.seconds) if unique.seconds is not None else None
    ours = {**place, "task_id": made.id, "expires_at": ends}
    if session.scalar(_TAKE, ours) is not None:
        return None
    holder = session.scalar(_HOLDER, {**place, "now": now})
    if holder is not None:
        row = session.execute(sa.select(*RECORD_COLUMNS).where(_TASKS.c.id == holder)).mappings().first()
        if row is not None and row["status"] in unique.states:
            return TaskRecord(**row)
    session.execute(_REPLACE, ours)
    return None


def give_back(session: Session, made: TaskRecord, unique: Unique) -> None:
    """Give back the place of a task that is not stored after all."""
    place = {"owner": made.owner_id or _NOBODY, "fingerprint": fingerprint(made, unique), "task_id": made.id}
    session.execute(_GIVE_BACK, place)


def forget(session: Session, *, now: datetime, limit: int) -> int:
    """Forget places that nobody holds any more; returns how many."""
    done: Any = session.execute(_FORGET, {"now": now, "limit": limit})
    return int(done.rowcount)
