"""An event comes: it is stored with the task that applies the triggers, and with that it is accepted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import OutsideEventRecord, new_id
from app.services import idempotency
from app.services.accounts.quotas import MakeRoom, unlimited
from app.services.idempotency import Key
from app.services.submission import Submission, draft_unchecked, store
from app.services.triggers.reading import EVENTS, read_event

APPLYING = "apply_triggers"
"""The type of the task that applies the triggers of an event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """What a caller tells. Events of one account with the same ordering key are applied one after the other."""

    name: str
    data: Any = None
    ordering_key: str | None = None


def receive_once(
    session: Session,
    wanted: NewEvent,
    *,
    key: Key | None,
    owner_id: UUID | None,
    now: datetime,
    make_room: MakeRoom = unlimited,
) -> tuple[OutsideEventRecord, bool]:
    """Accept an event, or return the one that an earlier request with the same key told of; and whether it is new.

    Raises QuotaReached, Refused for a key that was used with another body, or Gone for an event that was deleted since.
    """

    def receive(event_id: UUID) -> OutsideEventRecord:
        make_room(1)
        return _receive(session, wanted, event_id, owner_id=owner_id, now=now)

    def find(event_id: UUID) -> OutsideEventRecord:
        return read_event(session, event_id, visible_to=owner_id)

    return idempotency.once(session, key, create=receive, find=find, what="event", now=now)


def _receive(
    session: Session, wanted: NewEvent, event_id: UUID, *, owner_id: UUID | None, now: datetime
) -> OutsideEventRecord:
    task_id = new_id()
    row = {"id": event_id, "owner_id": owner_id, "name": wanted.name, "data": wanted.data, "received_at": now}
    made = session.connection().execute(sa.insert(EVENTS).values(**row, task_id=task_id).returning(EVENTS))
    record = OutsideEventRecord.of(made.mappings().one())
    submission = Submission(
        type=APPLYING,
        payload={"event_id": str(event_id)},
        name=f"triggers of {wanted.name}"[:200],
        ordering_key=wanted.ordering_key,
    )
    store(session, [draft_unchecked(submission, owner_id=owner_id, now=now, task_id=task_id)])
    return record
