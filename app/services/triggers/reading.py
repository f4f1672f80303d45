"""Triggers, events and matches as their owners see them, and what became of one event, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import (
    FINISHED,
    MatchRecord,
    MatchState,
    OutsideEvent,
    OutsideEventRecord,
    Task,
    Trigger,
    TriggerMatch,
    TriggerRecord,
)
from app.models.page import Page, page_of
from app.services.sql import folding

TRIGGERS = Trigger.metadata.tables["triggers"]
EVENTS = OutsideEvent.metadata.tables["outside_events"]
MATCHES = TriggerMatch.metadata.tables["trigger_matches"]
TASKS = Task.metadata.tables["tasks"]
MAX_SHOWN = 100  # matches of one event
APPLIED, WAITING, STOPPED = "applied", "waiting", "stopped"
STATES = (APPLIED, WAITING, STOPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventView:
    """One event: whether its triggers have been applied, what they started, and why others did not."""

    event: OutsideEventRecord
    state: str
    """APPLIED; WAITING for its task; STOPPED: that task ended without having applied all."""
    started: int
    refused: int
    matches: Sequence[MatchRecord]
    """The first MAX_SHOWN, in the order of their triggers."""
    names: dict[UUID, str | None]
    """Of the triggers that are told of and still there."""

    @property
    def summary(self) -> str:
        """One sentence."""
        event = self.event
        if self.state != APPLIED:
            what = "wait for" if self.state == WAITING else "were not all applied: look at"
            return f"The triggers for {event.name!r} {what} the task {event.task_id}."
        listened = self.started + self.refused + event.unmatched
        if not listened:
            return f"No enabled trigger of this account listened for {event.name!r}."
        parts = [f"{self.started} started work"]
        parts += [f"{event.unmatched} did not match"] if event.unmatched else []
        parts += [f"{self.refused} matched and could start nothing"] if self.refused else []
        return f"Of {listened} trigger{'s' if listened > 1 else ''} for {event.name!r}, {', '.join(parts)}."


def read(session: Session, trigger_id: UUID, *, visible_to: UUID | None, lock: bool = False) -> TriggerRecord:
    """One trigger; `visible_to` None sees everybody's. Raises NotFound, for somebody else's as well."""
    query = sa.select(TRIGGERS).where(TRIGGERS.c.id == trigger_id, *_visible(TRIGGERS, visible_to))
    row = session.connection().execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise NotFound(f"There is no trigger {trigger_id}: check the id; it may also have been deleted.")
    return TriggerRecord.of(row)


def find(
    session: Session,
    *,
    visible_to: UUID | None,
    event: str | None = None,
    enabled: bool | None = None,
    text: str | None = None,
    before: UUID | None,
    limit: int,
) -> Page[TriggerRecord]:
    """A page of the triggers older than `before`, newest first; `text` is part of a name, event, type or workflow."""
    query = sa.select(TRIGGERS).where(*_visible(TRIGGERS, visible_to)).order_by(TRIGGERS.c.id.desc()).limit(limit + 1)
    if event is not None:
        query = query.where(TRIGGERS.c.event == event)
    if enabled is not None:
        query = query.where(TRIGGERS.c.enabled == enabled)
    if text:
        target = TRIGGERS.c.target
        named = (target["task"]["type"].astext, target["workflow"]["name"].astext)
        query = query.where(folding.holds(session, text, (TRIGGERS.c.name, TRIGGERS.c.event, *named)))
    if before is not None:
        query = query.where(TRIGGERS.c.id < before)
    return page_of([TriggerRecord.of(row) for row in session.connection().execute(query).mappings()], limit)


def matches(session: Session, trigger_id: UUID, *, before: UUID | None, limit: int) -> Page[MatchRecord]:
    """A page of what a trigger matched, newest first; `next` is the id of an event."""
    query = sa.select(MATCHES).where(MATCHES.c.trigger_id == trigger_id)
    query = query.order_by(MATCHES.c.event_id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(MATCHES.c.event_id < before)
    records = [MatchRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit, lambda match: match.event_id)


def read_event(session: Session, event_id: UUID, *, visible_to: UUID | None) -> OutsideEventRecord:
    """One event. Raises NotFound, for somebody else's as well."""
    query = sa.select(EVENTS).where(EVENTS.c.id == event_id, *_visible(EVENTS, visible_to))
    row = session.connection().execute(query).mappings().first()
    if row is None:
        raise NotFound(f"There is no event {event_id}: check the id; old events are deleted.")
    return OutsideEventRecord.of(row)


def find_events(
    session: Session, *, visible_to: UUID | None, name: str | None, before: UUID | None, limit: int
) -> Page[OutsideEventRecord]:
    """A page of the events older than `before`, newest first."""
    query = sa.select(EVENTS).where(*_visible(EVENTS, visible_to)).order_by(EVENTS.c.id.desc()).limit(limit + 1)
    if name is not None:
        query = query.where(EVENTS.c.name == name)
    if before is not None:
        query = query.where(EVENTS.c.id < before)
    return page_of([OutsideEventRecord.of(row) for row in session.connection().execute(query).mappings()], limit)


def view_event(session: Session, event: OutsideEventRecord) -> EventView:
    """An event with what became of it."""
    of_event = MATCHES.c.event_id == event.id
    counted = sa.select(MATCHES.c.state, sa.func.count()).where(of_event).group_by(MATCHES.c.state)
    counts: dict[str, int] = {row[0]: row[1] for row in session.connection().execute(counted)}
    query = sa.select(MATCHES).where(of_event).order_by(MATCHES.c.trigger_id).limit(MAX_SHOWN)
    shown = [MatchRecord(**row) for row in session.connection().execute(query).mappings()]
    told = {each.trigger_id for each in shown} | {UUID(each["trigger_id"]) for each in event.unmatched_sample}
    named = sa.select(TRIGGERS.c.id, TRIGGERS.c.name).where(TRIGGERS.c.id.in_(told))
    return EventView(
        event=event,
        state=_state(session, event),
        started=counts.get(MatchState.STARTED, 0),
        refused=counts.get(MatchState.REFUSED, 0),
        matches=shown,
        names={row.id: row.name for row in session.connection().execute(named)},
    )


def _state(session: Session, event: OutsideEventRecord) -> str:
    if event.applied_at is not None:
        return APPLIED
    status = session.connection().scalar(sa.select(TASKS.c.status).where(TASKS.c.id == event.task_id))
    return STOPPED if status is None or status in FINISHED else WAITING


def _visible(table: sa.Table, visible_to: UUID | None) -> list[sa.ColumnElement[Any]]:
    return [] if visible_to is None else [table.c.owner_id == visible_to]
