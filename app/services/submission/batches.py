"""Submitting a batch: each of its tasks is accepted or refused by itself, all that are accepted in one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import sqlalchemy as sa
from msgspec import Struct

from app.database import Session
from app.errors import Gone, Refused
from app.models import Task, TaskRecord
from app.models.task import RECORD_COLUMNS
from app.services import idempotency
from app.services.accounts.quotas import QuotaReached, TakeRoom, room_for_all
from app.services.accounts.rights import Rights, TypeNotAllowed
from app.services.encryption import ciphertexts
from app.services.idempotency import Key
from app.services.submission import chosen_ids, uniqueness
from app.services.submission.acceptance import Accepted
from app.services.submission.chosen_ids import ChosenId
from app.services.submission.drafts import Submission, draft
from app.services.submission.storage import Identified, store_new
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType

_TASKS = Task.metadata.tables["tasks"]
_READ_ALL = sa.select(*RECORD_COLUMNS).where(_TASKS.c.id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid))))
KEY_FIELD = "idempotency_key"
GONE = "This idempotency_key made the task {}, which has been deleted; use a new key for a new task."

# The items that share keys: by the key's place, the first of them and its draft.
_Firsts: TypeAlias = dict[tuple[str, str, str], tuple[Key, TaskRecord]]
_Used: TypeAlias = dict[Key, idempotency.FirstUse]
Refusal: TypeAlias = Refused | PayloadRefused | UnknownTaskType | TypeNotAllowed | Gone | QuotaReached
REFUSALS = (Refused, PayloadRefused, UnknownTaskType, TypeNotAllowed, Gone, QuotaReached)
Result: TypeAlias = Accepted | Refusal


class Item(Struct, frozen=True, kw_only=True):
    """One submission of a batch, with the key that makes repeating it harmless."""

    submission: Submission
    key: Key | None = None

    @property
    def is_plain(self) -> bool:
        """Whether one statement stores it: no key and no `unique`, which stand or fall with it."""
        return self.key is None and self.submission.unique is None


def draft_batch(
    items: Sequence[Item],
    *,
    owner_id: UUID | None,
    now: datetime,
    payload_keys: ciphertexts.Keys = (),
    rights: Sequence[Rights] = (),
) -> list[TaskRecord | Refusal]:
    """The rows to be, or why there will be none, in the order of the items. Touches no database."""
    return [_draft(item, owner_id, now, payload_keys, rights) for item in items]


def _draft(
    item: Item, owner_id: UUID | None, now: datetime, payload_keys: ciphertexts.Keys, rights: Sequence[Rights]
) -> TaskRecord | Refusal:
    try:
        return draft(item.submission, owner_id=owner_id, now=now, payload_keys=payload_keys, rights=rights)
    except REFUSALS as refusal:
        return refusal


def accept_plain(session: Session, items: Sequence[Item], drafted: Sequence[TaskRecord | Refusal]) -> list[Result]:
    """Store plain items for which there is room, in one INSERT; one result for each, in their order.

    It is a transaction of its own. What an item's id was taken by is looked for only where one was. Hints follow.
    """
    made = [(item, each) for item, each in zip(items, drafted, strict=True) if isinstance(each, TaskRecord)]
    stored = iter(_stored(session, made))
    return [next(stored) if isinstance(each, TaskRecord) else each for each in drafted]


def accept_batch(
    session: Session,
    items: Sequence[Item],
    drafted: Sequence[TaskRecord | Refusal],
    *,
    now: datetime,
    take_room: TakeRoom = room_for_all,
) -> list[Result]:
    """Store what can be, in one INSERT; one result for each item, in their order. What is refused leaves no trace.

    Hints follow the commit. `drafted`: the items' drafts. A key, or an id, that two items share makes one task, if both
    say the same. Where there is no room for all, the first of them get it.
    """
    decided, twins = _decided(session, items, drafted)
    pairs = list(zip(items, decided, strict=True))
    firsts: _Firsts = {}  # of the items with one key: the one that makes the task
    for item, made in pairs:
        if item.key is not None and isinstance(made, TaskRecord):
            firsts.setdefault(_place(item.key), (item.key, made))
    used = idempotency.first_uses(session, {key: made.id for key, made in firsts.values()}, now=now) if firsts else {}
    new = [
        (item, made) for item, made in pairs if isinstance(made, TaskRecord) and _makes(item.key, made, firsts, used)
    ]
    alike = _alike(session, new, now)
    made_now = _with_room(session, [(item, made) for item, made in new if made.id not in alike], take_room)
    for item, made in new:
        first = made_now.get(alike.get(made.id, made.id))
        if item.key is not None and made.id in alike and first is not None and not isinstance(first, Accepted):
            idempotency.give_back(session, item.key, alike[made.id])
    stored = {id_: each.task for id_, each in made_now.items() if isinstance(each, Accepted)}
    known = _read(session, {use.resource_id for use in used.values()} | set(alike.values()) - set(made_now)) | stored
    results = [_result(item.key, made, firsts, used, alike, known, made_now) for item, made in pairs]
    return [_of_twin(items, results, index, twins) if index in twins else each for index, each in enumerate(results)]


def _decided(
    session: Session, items: Sequence[Item], drafted: Sequence[TaskRecord | Refusal]
) -> tuple[list[TaskRecord | Result], dict[int, int]]:
    """The drafts, or what is there already under their ids; and which item has its id from which one before it."""
    firsts: dict[UUID, int] = {}
    twins: dict[int, int] = {}
    decided: list[TaskRecord | Result] = list(drafted)
    for index, (item, made) in enumerate(zip(items, drafted, strict=True)):
        if item.submission.chosen is not None and isinstance(made, TaskRecord):
            first = firsts.setdefault(made.id, index)
            if first != index:
                twins[index] = first
                decided[index] = chosen_ids.taken()  # stands for it until the first one has its result
    for id_, holder in chosen_ids.holders(session, firsts).items() if firsts else ():
        index = firsts[id_]
        decided[index] = _first_of(items[index].submission.chosen, holder, drafted[index])
    return decided, twins


def _first_of(
    chosen: ChosenId | None, holder: chosen_ids.Holder | None, made: TaskRecord | Refusal
) -> Accepted | Refused:
    if chosen is None or holder is None or not isinstance(made, TaskRecord):
        return chosen_ids.taken()  # by a task that was deleted in between
    first = chosen_ids.first_of(chosen, holder, owner_id=made.owner_id)
    return first if isinstance(first, Refused) else Accepted(task=first, is_new=False)


def _of_twin(items: Sequence[Item], results: Sequence[Result], index: int, twins: dict[int, int]) -> Result:
    first = results[twins[index]]
    one, other = items[twins[index]].submission.chosen, items[index].submission.chosen
    if not isinstance(first, Accepted) or one is None or other is None:
        return first
    return Accepted(task=first.task, is_new=False) if one.digest == other.digest else chosen_ids.taken()


def _with_room(
    session: Session, fresh: Sequence[tuple[Item, TaskRecord]], take_room: TakeRoom
) -> dict[UUID, Accepted | Refused | QuotaReached]:
    """What becomes of drafts that are to be stored, by their ids: those that get no place, or no id, are refused."""
    if not fresh:
        return {}
    room = take_room(len(fresh))
    results: dict[UUID, Accepted | Refused | QuotaReached] = {}
    first = fresh[: room.granted]
    for (_, made), result in zip(first, _stored(session, first), strict=True):
        results[made.id] = result
    if room.refusal is not None:
        results |= {made.id: room.refusal for _, made in fresh[room.granted :]}
    for item, made in fresh:
        if not isinstance(results[made.id], Accepted):
            _give_back(session, item, made)
    return results


def _give_back(session: Session, item: Item, made: TaskRecord) -> None:
    if item.key is not None:
        idempotency.give_back(session, item.key, made.id)
    if item.submission.unique is not None:
        uniqueness.give_back(session, made, item.submission.unique)


def _stored(session: Session, made: Sequence[tuple[Item, TaskRecord]]) -> list[Accepted | Refused]:
    """The drafts as they were stored, or what has their ids."""
    stored = store_new(session, [_identified(item, each) for item, each in made])
    lost = [each.id for (_, each), task in zip(made, stored, strict=True) if task is None]
    holders: dict[UUID, chosen_ids.Holder] = {}
    if lost:
        chosen_ids.give_places_back(session, lost)
        holders = chosen_ids.holders(session, lost)
    return [
        Accepted(task=task, is_new=True)
        if task is not None
        else _first_of(item.submission.chosen, holders.get(each.id), each)
        for (item, each), task in zip(made, stored, strict=True)
    ]


def _identified(item: Item, made: TaskRecord) -> TaskRecord | Identified:
    chosen = item.submission.chosen
    return made if chosen is None else Identified(made, chosen.digest)


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
    made: TaskRecord | Result,
    firsts: _Firsts,
    used: _Used,
    alike: dict[UUID, UUID],
    known: dict[UUID, TaskRecord],
    made_now: dict[UUID, Accepted | Refused | QuotaReached],
) -> Result:
    if not isinstance(made, TaskRecord):
        return made
    if made.id in made_now:
        return made_now[made.id]
    if made.id in alike:
        return _again(alike[made.id], known, made_now)
    assert key is not None  # noqa: S101  (a draft without a key is always stored)
    first_key, first = firsts[_place(key)]
    use = used.get(first_key)
    if not key.is_of(use.fingerprint if use else first_key.fingerprint):
        return idempotency.reused(KEY_FIELD)
    return _again(use.resource_id if use else alike.get(first.id, first.id), known, made_now)


def _again(
    task_id: UUID, known: dict[UUID, TaskRecord], made_now: dict[UUID, Accepted | Refused | QuotaReached]
) -> Result:
    """The task of an item that makes none of its own, or why there is none."""
    if task_id in known:
        return Accepted(task=known[task_id], is_new=False)
    refused = made_now.get(task_id)
    return Gone(GONE.format(task_id)) if refused is None or isinstance(refused, Accepted) else refused


def _read(session: Session, ids: set[UUID]) -> dict[UUID, TaskRecord]:
    if not ids:
        return {}
    rows = session.connection().execute(_READ_ALL, {"ids": sorted(ids)}).mappings()
    return {row["id"]: TaskRecord(**row) for row in rows}
