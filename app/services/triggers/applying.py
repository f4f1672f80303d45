"""Applying triggers to an event: some at a time, each batch a transaction with what it starts and how far it came.

So whoever dies in between leaves a batch undone as a whole, and whoever goes on begins behind the last one. Two who do
it at once wait for each other at the row of the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session
from app.errors import ProblemError
from app.models import MatchState, OutsideEventRecord, TaskRecord, TriggerRecord, new_id
from app.services import workflows
from app.services.accounts import rights
from app.services.accounts.allowance import Allowance
from app.services.accounts.quotas import LaterRoom, quota_of
from app.services.owners import owner_is_active
from app.services.submission import store
from app.services.triggers import targets
from app.services.triggers.lookups import lookup_of, shown_lookup_of
from app.services.triggers.reading import EVENTS, MATCHES, TRIGGERS
from app.services.workflows import Caller
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType
from taskledger_sdk.workflows.conditions import unmet
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.templates import Lookup

BATCH = 200
PATIENCE_MS = 1_000  # for another transaction of the account; without room the task comes again
MAX_SAMPLE = 100  # triggers that did not match, of one event; the rest is counted
MAX_REASON = 500
DISABLED = "the owner's account is disabled"
NOT_APPLICABLE = (StepRefused, PayloadRefused, UnknownTaskType, ProblemError)
"""What is wrong with one trigger, and no reason to keep the others from their work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the triggers of an event have been applied; `has_room` false: the quota keeps the next one waiting."""

    is_done: bool
    has_room: bool = True


@dataclass(kw_only=True, slots=True)
class _Batch:
    """What one transaction decides."""

    event: OutsideEventRecord
    tasks: list[TaskRecord] = field(default_factory=list)
    matches: list[dict[str, Any]] = field(default_factory=list)
    unmatched: list[dict[str, str]] = field(default_factory=list)
    last: UUID | None = None
    has_room: bool = True

    def match(self, trigger: TriggerRecord, state: MatchState, *, now: datetime, **said: Any) -> None:
        """Note what became of a trigger that matched."""
        row = {"event_id": self.event.id, "trigger_id": trigger.id, "state": state.value, "at": now}
        self.matches.append({**row, "task_id": None, "run_id": None, "reason": None, **said})


def apply_some(session: Session, event_id: UUID, *, now: datetime, limit: int = BATCH) -> Progress:
    """Apply the next triggers of an event, which is done when there are none left, or when it is not there any more."""
    row = session.connection().execute(sa.select(EVENTS).where(EVENTS.c.id == event_id).with_for_update()).mappings()
    event = next((OutsideEventRecord.of(each) for each in row), None)
    if event is None or event.applied_at is not None:
        return Progress(is_done=True)
    listening = _listening(session, event, limit)
    batch = _Batch(event=event)
    _Owner(session, event.owner_id, now).apply(listening, batch)
    is_done = batch.has_room and len(listening) < limit
    _record(session, batch, applied_at=now if is_done else None)
    return Progress(is_done=is_done, has_room=batch.has_room)


def _listening(session: Session, event: OutsideEventRecord, limit: int) -> list[TriggerRecord]:
    """The next triggers of the event's account that listen for it, and were there when it came."""
    mine = TRIGGERS.c.owner_id.is_(None) if event.owner_id is None else TRIGGERS.c.owner_id == event.owner_id
    query = sa.select(TRIGGERS).where(
        TRIGGERS.c.event == event.name, mine, TRIGGERS.c.enabled, TRIGGERS.c.created_at <= event.received_at
    )
    if event.applied_after is not None:
        query = query.where(TRIGGERS.c.id > event.applied_after)
    rows = session.connection().execute(query.order_by(TRIGGERS.c.id).limit(limit)).mappings()
    return [TriggerRecord.of(each) for each in rows]


class _Owner:
    """Starts work as the account whose event it is: with the rights and the room that it has today."""

    def __init__(self, session: Session, owner_id: UUID | None, now: datetime) -> None:
        settings = get_settings()
        self._session, self._now = session, now
        self._caller = Caller(owner_id=owner_id)
        self._is_active = owner_is_active(session, owner_id)
        self._allowance = Allowance(rights=rights.of_account(session, owner_id, settings=settings))
        most = quota_of(session, owner_id, default=settings.max_waiting_tasks)
        self._room = LaterRoom(session, owner_id, most=most, patience=PATIENCE_MS) if owner_id and most else None

    def apply(self, triggers: list[TriggerRecord], batch: _Batch) -> None:
        """Decide one trigger after the other, until there is no room for what the next one would start."""
        lookup, shown = lookup_of(batch.event), shown_lookup_of(batch.event)
        for trigger in triggers:
            reason = _why_not(trigger, lookup, shown)
            if reason is not None:
                batch.unmatched.append({"trigger_id": str(trigger.id), "reason": reason[:MAX_REASON]})
            else:
                self._start(trigger, batch)
            if not batch.has_room:
                break
            batch.last = trigger.id
        if self._room is not None:
            self._room.settle()

    def _start(self, trigger: TriggerRecord, batch: _Batch) -> None:
        try:
            if not self._is_active:
                raise StepRefused(DISABLED)
            targets.check_allowed(self._session, trigger.target, self._allowance, caller=self._caller, now=self._now)
            if "task" in trigger.target:
                self._submit(trigger, batch)
            else:
                self._run(trigger, batch)
        except NOT_APPLICABLE as error:
            batch.match(trigger, MatchState.REFUSED, now=self._now, reason=str(error)[:MAX_REASON])

    def _submit(self, trigger: TriggerRecord, batch: _Batch) -> None:
        draft = targets.draft_task(trigger, batch.event, now=self._now)
        if self._takes(1, batch):
            batch.tasks.append(draft)
            batch.match(trigger, MatchState.STARTED, now=self._now, task_id=draft.id)

    def _run(self, trigger: TriggerRecord, batch: _Batch) -> None:
        workflow = targets.workflow_of(self._session, trigger, now=self._now)
        new = targets.new_run(trigger, batch.event)
        if not self._takes(workflows.places_of(self._session, workflow), batch):
            return
        run_id, owner_id = new_id(), trigger.owner_id
        with self._session.begin_nested():  # what one workflow refuses takes nothing else back
            workflows.start(self._session, workflow, new, owner_id=owner_id, now=self._now, run_id=run_id)
        batch.match(trigger, MatchState.STARTED, now=self._now, run_id=run_id)

    def _takes(self, places: int, batch: _Batch) -> bool:
        batch.has_room = self._room is None or self._room.take(places)
        return batch.has_room


def _why_not(trigger: TriggerRecord, lookup: Lookup, shown: Lookup) -> str | None:
    """Why an event does not concern a trigger; None when it does. What cannot be compared does not match, either."""
    if trigger.condition is None:
        return None
    try:
        return unmet(trigger.condition, lookup, shown)
    except StepRefused as error:
        return str(error)


def _record(session: Session, batch: _Batch, *, applied_at: datetime | None) -> None:
    """Store what was decided, and how far that is."""
    event = batch.event
    store(session, batch.tasks)
    if batch.matches:
        session.connection().execute(sa.insert(MATCHES), batch.matches)
    sample = [*event.unmatched_sample, *batch.unmatched][:MAX_SAMPLE]
    values: Mapping[str, Any] = {
        "applied_after": batch.last or event.applied_after,
        "applied_at": applied_at,
        "unmatched": event.unmatched + len(batch.unmatched),
        "unmatched_sample": sample,
    }
    session.connection().execute(sa.update(EVENTS).where(EVENTS.c.id == event.id).values(**values))
