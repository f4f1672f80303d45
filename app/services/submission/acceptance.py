"""Accepting one submission: it becomes a task, or leads to the one that it made before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Gone, Refused
from app.models import Task, TaskRecord, new_id
from app.models.task import RECORD_COLUMNS
from app.services import idempotency
from app.services.accounts.quotas import MakeRoom, unlimited
from app.services.accounts.rights import Rights
from app.services.encryption import ciphertexts
from app.services.idempotency import Key
from app.services.submission import chosen_ids, uniqueness
from app.services.submission.chosen_ids import ChosenId
from app.services.submission.drafts import Submission, draft
from app.services.submission.storage import Identified, store_new

_TASKS = Task.metadata.tables["tasks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A task that a submission led to; not new when its key was used before, or when its like was there."""

    task: TaskRecord
    is_new: bool


def accept(
    session: Session,
    submission: Submission,
    *,
    owner_id: UUID | None,
    now: datetime,
    key: Key | None = None,
    payload_keys: ciphertexts.Keys = (),
    make_room: MakeRoom = unlimited,
    rights: Iterable[Rights] = (),
) -> Accepted:
    """Store a task, or find what an earlier request with the same key made, or its like. The hint follows the commit.

    Raises what `draft` and `make_room` raise, Refused for a key that was used with another body and for an id that is
    taken, Gone for a task that has been deleted since; then nothing is stored.
    """
    chosen = submission.chosen
    task_id = new_id() if chosen is None else chosen.id
    first = None if key is None else idempotency.first_use(session, key, task_id, now=now)
    if first is not None:
        return Accepted(task=_first_task(session, first), is_new=False)
    earlier = None if chosen is None else _earlier(session, chosen, owner_id)
    if earlier is not None:
        return earlier
    new = draft(submission, owner_id=owner_id, now=now, task_id=task_id, payload_keys=payload_keys, rights=rights)
    unique = submission.unique
    other = None if unique is None else uniqueness.take(session, new, unique, now=now)
    if other is not None:
        if key is not None:
            idempotency.lead_to(session, key, other.id)
        return Accepted(task=other, is_new=False)
    make_room(1)
    [stored] = store_new(session, [new if chosen is None else Identified(new, chosen.digest)])
    if stored is not None:
        return Accepted(task=stored, is_new=True)
    return repeated(session, new, chosen)


def repeated(session: Session, new: TaskRecord, chosen: ChosenId | None) -> Accepted:
    """What a submission leads to whose id was taken when it was to be stored. Raises Refused (id_taken)."""
    assert chosen is not None  # noqa: S101  (an id of our own is never taken)
    chosen_ids.give_places_back(session, [chosen.id])
    earlier = _earlier(session, chosen, new.owner_id)
    if earlier is None:
        raise chosen_ids.taken()  # by a task that was deleted in between
    return earlier


def _earlier(session: Session, chosen: ChosenId, owner_id: UUID | None) -> Accepted | None:
    """What an earlier submission with this id made. Raises Refused (id_taken) for one that was another."""
    holder = chosen_ids.holders(session, [chosen.id]).get(chosen.id)
    if holder is None:
        return None
    first = chosen_ids.first_of(chosen, holder, owner_id=owner_id)
    if isinstance(first, Refused):
        raise first
    return Accepted(task=first, is_new=False)


def _first_task(session: Session, task_id: UUID) -> TaskRecord:
    row = session.execute(sa.select(*RECORD_COLUMNS).where(_TASKS.c.id == task_id)).mappings().first()
    if row is None:
        raise Gone(
            f"This Idempotency-Key made the task {task_id}, which has been deleted; use a new key for a new task."
        )
    return TaskRecord(**row)
