"""A task's children, and what else must be known of it before its handler submits another."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import Task, TaskChild, TaskRecord
from app.models.page import Page, page_of
from app.models.task import RECORD_COLUMNS
from app.services.tasks.records import read

MAX_CHILDREN = 1_000  # of one task; who has more to hand out lets its children hand it out
TASKS, CHILDREN = Task.metadata.tables["tasks"], TaskChild.metadata.tables["task_children"]

# Up the line of parents, one look by primary key for each; one that is gone ends it.
_ABOVE = sa.text("""
    WITH RECURSIVE line AS (
        SELECT id, parent_id, owner_id, ordering_key, 1 AS generation
        FROM tasks
        WHERE id = :id
        UNION ALL
        SELECT tasks.id, tasks.parent_id, line.owner_id, tasks.ordering_key, generation + 1
        FROM line
        JOIN tasks ON tasks.id = line.parent_id
        WHERE generation <= :most
    )
    SELECT line.owner_id, max(generation) AS generation, users.max_waiting_tasks,
        users.disabled_at IS NOT NULL AS is_closed, array_remove(array_agg(line.ordering_key), NULL) AS ordering_keys
    FROM line
    LEFT JOIN users ON users.id = line.owner_id
    GROUP BY line.owner_id, users.max_waiting_tasks, users.disabled_at
""")
_CHILDREN = sa.text("SELECT child_id, type, key FROM task_children WHERE parent_id = :id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What is known of a task whose handler wants to submit another."""

    owner_id: UUID | None
    max_waiting_tasks: int | None
    """The quota of its account; None: the service's."""
    is_closed: bool
    """Whether its account is closed: then nothing new is started for it."""
    generation: int
    """How many tasks stand above a child of it; 1 for a task that was submitted from outside. Counted up to a limit."""
    children: int
    by_key: Mapping[str, tuple[UUID, str]]
    """Id and type of the children that have a key."""
    ordering_keys: frozenset[str] = frozenset()
    """Those of the task and of all that stand above it."""


def read_family(session: Session, task_id: UUID, *, most_generations: int) -> Family:
    """Look it up; `most_generations` says how far up the line of parents is followed. Raises NotFound."""
    row = session.execute(_ABOVE, {"id": task_id, "most": most_generations}).first()
    if row is None:
        raise NotFound(f"There is no task {task_id} any more: somebody has deleted its row.")
    children = session.execute(_CHILDREN, {"id": task_id}).all()
    return Family(
        owner_id=row.owner_id,
        max_waiting_tasks=row.max_waiting_tasks,
        is_closed=row.is_closed,
        generation=row.generation,
        children=len(children),
        ordering_keys=frozenset(row.ordering_keys),
        by_key={each.key: (each.child_id, each.type) for each in children if each.key is not None},
    )


def find(session: Session, parent_id: UUID, *, owner: UUID | None, before: UUID | None, limit: int) -> Page[TaskRecord]:
    """A page of a task's children, newest first. Raises NotFound."""
    read(session, parent_id, owner=owner)
    query = (
        sa.select(*RECORD_COLUMNS)
        .select_from(CHILDREN.join(TASKS, TASKS.c.id == CHILDREN.c.child_id))
        .where(CHILDREN.c.parent_id == parent_id)
        .order_by(CHILDREN.c.child_id.desc())
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(CHILDREN.c.child_id < before)
    records = [TaskRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit)
