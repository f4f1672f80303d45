"""Making children durable: the rows of the tasks, and what leads a later attempt to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace

from app.database import Session
from app.errors import Refused
from app.models import TaskRecord
from app.services import submission
from app.services.encryption import ciphertexts
from app.services.lifecycle import beginning
from app.services.tasks.children.asking import Wish, refused

_REMEMBER = sa.text("""
    INSERT INTO task_children (parent_id, child_id, type, key)
    SELECT :parent_id, child.id, child.type, child.key
    FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:keys AS text[])) AS child (id, type, key)
    ON CONFLICT (parent_id, key)
    WHERE key IS NOT NULL DO NOTHING
    RETURNING child_id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A task that is to be, and what its parent calls it."""

    task: TaskRecord
    key: str | None


def draft(
    wish: Wish, *, parent_id: UUID, owner_id: UUID | None, now: datetime, payload_keys: ciphertexts.Keys
) -> TaskRecord:
    """The row to be. Raises PermanentError for what a submission refuses; Refused where no key can encrypt it."""
    try:
        task = submission.draft(wish.submission, owner_id=owner_id, now=now, payload_keys=payload_keys)
    except Refused as error:
        if error.code == "sealing_unavailable":
            raise  # another worker may have the key
        raise refused(wish.type.name, error) from None
    return replace(task, parent_id=parent_id)


def store(session: Session, parent_id: UUID, children: Sequence[Child], *, now: datetime) -> set[UUID]:
    """Store them, two statements for any number; the caller holds the parent's row, whose lease is its fence.

    Returns the ids that were stored: one whose key an earlier attempt used is left out. Hints follow the commit.
    """
    new = set(
        session.scalars(
            _REMEMBER,
            {
                "parent_id": parent_id,
                "ids": [child.task.id for child in children],
                "types": [child.task.type for child in children],
                "keys": [child.key for child in children],
            },
        )
    )
    starting = [_starting(child.task, now) for child in children if child.task.id in new]
    submission.store(session, starting)
    return new


def _starting(task: TaskRecord, now: datetime) -> TaskRecord:
    """As if it were submitted now: between the call and the outcome the handler may have worked for long."""
    return replace(task, created_at=now, updated_at=now, **beginning(task.scheduled_at, now=now)._asdict())
