"""Submitting a batch: each of its tasks is accepted or refused by itself, all that are accepted in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Gone, Refused
from app.models import Task, TaskRecord
from app.models.task import RECORD_COLUMNS
from app.services import idempotency
from app.services.accounts.quotas import MakeRoom, unlimited
from app.services.accounts.rights import Rights, TypeNotAllowed
from app.services.encryption import sealing
from app.services.idempotency import Key
from app.services.submission import uniqueness
from app.services.submission.acceptance import Accepted
from app.services.submission.drafts import Submission, draft
from app.services.submission.storage import store
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType

_TASKS = Task.metadata.tables["tasks"]
_READ_ALL = sa.select(*RECORD_COLUMNS).where(_TASKS.c.id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid))))
KEY_FIELD = "idempotency_key"
GONE = "This idempotency_key made the task {}, which has been deleted; use a new key for a new task."

# The items that share keys: by the key's place, the first of them and its draft.
_Firsts: TypeAlias = dict[tuple[str, str, str], tuple[Key, TaskRecord]]
_Used: TypeAlias = dict[Key, idempotency.FirstUse]
Refusal: TypeAlias = Refused | PayloadRefused | UnknownTaskType | TypeNotAllowed | Gone
REFUSALS = (Refused, PayloadRefused, UnknownTaskType, TypeNotAllowed, Gone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One submission of a batch, with the key that makes repeating it harmless."""

    submission: Submission
    key: Key | None = None


def draft_batch(
    items: Sequence[Item],
    *,
    owner_id: UUID | None,
    now: datetime,
    payload_keys: sealing.Keys = (),
    rights: Sequence[Rights] = (),
) -> list[TaskRecord | Refusal]:
    """The rows to be, or why there will be none, in the order of the items. Touches no database."""
    return [_draft(item, owner_id, now, payload_keys, rights) for item in items]


def _draft(
    item: Item, owner_id: UUID | None, now: datetime, payload_keys: sealing.Keys, rights: Sequence[Rights]
) -> TaskRecord | Refusal:
    try:
        return draft(item.submission, owner_id=owner_id, now=now, payload_keys=payload_keys, rights=rights)
    except REFUSALS as refusal:
        return refusal


def accept_batch(
    session: Session,
    items: Sequence[Item],
    drafted: Sequence[TaskRecord | Refusal],
    *,
    now: datetime,
    make_room: MakeRoom = unlimited,
) -> list[Accepted | Refusal]:
    """Store what can be, in one INSERT; one result for each item, in their order. What is refused leaves no trace.

    Hints follow the commit. `drafted`: the items' drafts. A key that two items share makes one task, if both say the
    same. Raises what `make_room` raises.
    """
    pairs = list(zip(items, drafted, strict=True))
    firsts: _Firsts = {}  # of the items with one key: the one that makes the task
    for item, made in pairs:
        if item.key is not None and isinstance(made, TaskRecord):
            firsts.setdefault(_place(item.key), (item.key, made))
    used = idempotency.first_uses(session, {key: made.id for key, made in firsts.values()}, now=now) if firsts else {}
    new = [
        (item, made) for item, made in pairs if isinstance(made, TaskRecord) and _makes(item.key, made, firsts, used)
    ]
    alike = _alike(session, new, now)
    fresh = [made for _, made in new if made.id not in alike]
    if fresh:
        make_room(len(fresh))
    stored = {task.id: task for task in store(session, fresh)}
    known = _read(session, {use.resource_id for use in used.values()} | set(alike.values()) - set(stored)) | stored
    return [_result(item.key, made, firsts, used, alike, known, stored) for item, made in pairs]


def _alike(session: Session, new: Sequence[tuple[Item, TaskRecord]], now: datetime) -> dict[UUID, UUID]:
    """The drafts that are not to be stored because their like is there, or comes before them in the batch."""
    first: dict[str, UUID] = {}
    alike: dict[UUID, UUID] = {}
    wanted = [(uniqueness.fingerprint(made, item.submission.unique), item, made, item.submission.unique)
              for item, made in new if item.submission.unique is not None]  # fmt: skip
    for mark, item, made, unique in sorted(wanted, key=lambda each: each[0]):  # two batches never wait crosswise
        if mark not in first:
            other = uniqueness.take(session, made, unique, now=now)
            first[mark] = made.id if other is None else other.id
        if first[mark] != made.id:
            alike[made.id] = first[mark]
            if item.key is not None:
                idempotency.lead_to(session, item.key, first[mark])
    return alike


def _place(key: Key) -> tuple[str, str, str]:
    return key.owner, key.route, key.value


def _makes(key: Key | None, made: TaskRecord, firsts: _Firsts, used: _Used) -> bool:
    """Whether this draft is to be stored: it has no key, or is the first to use it."""
    if key is None:
        return True
    first_key, first = firsts[_place(key)]
    return first.id == made.id and first_key not in used


def _result(
    key: Key | None,
    made: TaskRecord | Refusal,
    firsts: _Firsts,
    used: _Used,
    alike: dict[UUID, UUID],
    known: dict[UUID, TaskRecord],
    stored: dict[UUID, TaskRecord],
) -> Accepted | Refusal:
    if not isinstance(made, TaskRecord):
        return made
    if made.id in alike:
        return Accepted(task=known[alike[made.id]], is_new=False)
    if made.id in stored:
        return Accepted(task=stored[made.id], is_new=True)
    assert key is not None  # noqa: S101  (a draft without a key is always stored)
    first_key, first = firsts[_place(key)]
    use = used.get(first_key)
    if not key.is_of(use.fingerprint if use else first_key.fingerprint):
        return idempotency.reused(KEY_FIELD)
    task_id = use.resource_id if use else alike.get(first.id, first.id)
    return Accepted(task=known[task_id], is_new=False) if task_id in known else Gone(GONE.format(task_id))


def _read(session: Session, ids: set[UUID]) -> dict[UUID, TaskRecord]:
    if not ids:
        return {}
    rows = session.connection().execute(_READ_ALL, {"ids": sorted(ids)}).mappings()
    return {row["id"]: TaskRecord(**row) for row in rows}
