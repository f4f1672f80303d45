"""What a task remembers, as its owner sees it: the steps of a durable handler, with the children that do them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, from_json
from app.models.page import Page, page_of

_FIND = sa.text("""
    SELECT step.name, step.seq, step.kind, step.state, step.result::text AS result, step.error, step.child_id,
        child.status AS child_status, step.undo IS NOT NULL AS is_undoable, step.released_at, step.until AS wakes_at,
        step.ended_at
    FROM task_steps AS step
    LEFT JOIN tasks AS child ON child.id = step.child_id
    WHERE step.task_id = :id AND (step.seq, step.name) > (:seq, :name)
    ORDER BY step.seq, step.name
    LIMIT :most
""")
BEFORE_ALL = (-1, "")
_HAS = sa.text("SELECT EXISTS (SELECT FROM task_steps WHERE task_id = :id AND kind <> 'checkpoint')")


@dataclass(frozen=True, kw_only=True, slots=True)
class RememberedStep:
    """One step: what it is called, what it is, how far it is, and what came of it."""

    name: str
    seq: int
    kind: str
    state: str
    result: Any
    error: dict[str, Any] | None
    child_id: UUID | None
    child_status: str | None
    is_undoable: bool
    """Whether it said how it is undone."""
    released_at: datetime | None
    wakes_at: datetime | None
    ended_at: datetime | None

    @property
    def place(self) -> str:
        """Where a list goes on after it."""
        return f"{self.seq}:{self.name}"


def place_of(text: str) -> tuple[int, str]:
    """The same, read again."""
    seq, _, name = text.partition(":")
    return int(seq), name


def find(session: Session, task_id: UUID, *, after: tuple[int, str] | None, limit: int) -> Page[RememberedStep]:
    """A page of the steps of a task that the caller may see, in the handler's order."""
    seq, name = after or BEFORE_ALL
    rows = session.execute(_FIND, {"id": task_id, "seq": seq, "name": name, "most": limit + 1}).mappings()
    steps = [RememberedStep(**{**row, "result": _read(row["result"])}) for row in rows]
    return page_of(steps, limit, lambda step: step.place)


def has_any(session: Session, task_id: UUID) -> bool:
    """Whether the handler of a task has steps behind it; a checkpoint is none."""
    return bool(session.scalar(_HAS, {"id": task_id}))


def _read(text: str | None) -> Any:
    return None if text is None else from_json(text)
