"""The dry run of a repair: how many dead letters it would have, some of them before and after, and which do not fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Json
from app.services.encryption import ciphertexts
from app.services.repairs.choice import Choice
from app.services.repairs.patching import DoesNotFit, Patch
from app.services.tasks.dead_letters import TASKS

PAGE = 100
MAX_CHECKED = 5_000
MAX_SHOWN = 5
MAX_REFUSED_SHOWN = 20
REMEMBERS = "it remembers steps that it did with its payload: with another one, a durable task must start fresh"
ENCRYPTED = "its payload is encrypted, and a patch would have to be kept in the clear: replay it by itself"

HAS_STEPS = sa.literal_column(
    "EXISTS (SELECT FROM task_steps WHERE task_id = tasks.id AND kind <> 'checkpoint')", sa.Boolean
).label("has_steps")

IsTimeUp = Callable[[], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A task whose payload the repair would, or would not, change."""

    task_id: UUID
    owner_id: UUID | None
    before: Json
    after: Json


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedTask:
    """A task that would not be replayed, and why."""

    task_id: UUID
    problem: str


@dataclass(kw_only=True, slots=True)
class Preview:
    """What a repair would do. Of `count` tasks, `checked` were looked at, oldest first."""

    count: int
    checked: int = 0
    refused: int = 0
    refused_tasks: list[RefusedTask] = field(default_factory=list)
    sample: list[Example] = field(default_factory=list)


def preview_of(
    session: Session, choice: Choice, patch: Patch | None, *, owner: UUID | None, is_time_up: IsTimeUp
) -> Preview:
    """Count the dead letters of a choice, and try the patch on the first of them, until the time is up."""
    conditions = choice.conditions(session, owner=owner)
    found = Preview(count=session.scalar(sa.select(sa.func.count()).select_from(TASKS).where(*conditions)) or 0)
    most = MAX_SHOWN if patch is None else MAX_CHECKED
    after: UUID | None = None
    while found.checked < most and not is_time_up():
        rows = _page(session, conditions, after, min(PAGE, most - found.checked))
        for row in rows:
            _look(found, row, patch)
        if len(rows) < PAGE:
            break
        after = rows[-1].id
    return found


def _page(session: Session, conditions: Sequence[sa.ColumnElement[bool]], after: UUID | None, limit: int) -> list[Any]:
    columns = (TASKS.c.id, TASKS.c.owner_id, TASKS.c.payload, TASKS.c.schema_hash, HAS_STEPS)
    query = sa.select(*columns).where(*conditions)
    if after is not None:
        query = query.where(TASKS.c.id > after)
    return list(session.execute(query.order_by(TASKS.c.id).limit(limit)))


def _look(found: Preview, row: Any, patch: Patch | None) -> None:
    found.checked += 1
    try:
        after = row.payload if patch is None else fitted(row, patch)
    except DoesNotFit as error:
        found.refused += 1
        if len(found.refused_tasks) < MAX_REFUSED_SHOWN:
            found.refused_tasks.append(RefusedTask(task_id=row.id, problem=str(error)))
        return
    if len(found.sample) < MAX_SHOWN:
        example = Example(task_id=row.id, owner_id=row.owner_id, before=row.payload, after=after)
        found.sample.append(example)


def fitted(row: Any, patch: Patch) -> Json:
    """The payload of a task with the patch: the same answer in the dry run and when its turn comes.

    `row` has its payload, schema_hash and has_steps. Raises DoesNotFit, for one that is encrypted, too.
    """
    if row.has_steps:
        raise DoesNotFit(REMEMBERS)
    if patch.kind.sensitive or ciphertexts.is_encrypted(row.payload):
        raise DoesNotFit(ENCRYPTED)
    return patch.apply(row.payload, row.schema_hash)
