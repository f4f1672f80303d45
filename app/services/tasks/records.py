"""Tasks as their callers see them: reading, listing, changing what waits, deleting what is over."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound, Outdated
from app.models import FINISHED, UNCLAIMED, EventRecord, Status, Task, TaskEvent, TaskLogLine, TaskRecord
from app.models.page import Page, page_of
from app.models.task import RECORD_COLUMNS
from app.services import lifecycle
from app.services.accounts import rights as rights_by_type
from app.services.accounts.rights import Rights
from app.services.circuits import DELIVERY_TYPE
from app.services.encryption import ciphertexts
from app.services.sql import folding
from app.services.submission import check_timeout, check_times, publish_after_commit
from taskledger_sdk.registry import get_type

TASKS, EVENTS = Task.metadata.tables["tasks"], TaskEvent.metadata.tables["task_events"]
_PARENT_IS_UNFINISHED = sa.text("""
    SELECT EXISTS (
        SELECT FROM tasks JOIN tasks AS parent ON parent.id = tasks.parent_id
        WHERE tasks.id = :id AND parent.finished_at IS NULL
            -- A handler that has begun anew since asks for none of those that it had before.
            AND (
                tasks.step IS NULL
                OR EXISTS (
                    SELECT FROM task_steps AS step
                    WHERE step.task_id = parent.id AND step.name = tasks.step AND step.child_id = tasks.id
                )
            )
    )
""")
_FORGET_SIGNALS = sa.text("DELETE FROM signals WHERE target = :id")
_NOT_PASSED_ON = sa.text("""
    SELECT EXISTS (
        SELECT FROM task_events
        JOIN event_outbox ON event_id = task_events.id
        WHERE task_id = :id AND task_events.at >= :since
    )
""")
LOG = TaskLogLine.metadata.tables["task_log"]
CHANGEABLE = {
    "name": "name",
    "payload": "payload",
    "priority": "priority",
    "max_retries": "max_retries",
    "timeout": "timeout_seconds",
    "labels": "labels",
    "expires_at": "expires_at",
    "callback_url": "callback_url",
}

_TASK = sa.select(*RECORD_COLUMNS)
_READ = _TASK.where(TASKS.c.id == sa.bindparam("id"))
_LOCK = _READ.with_for_update()
_FINISHED_OF = _TASK.where(
    TASKS.c.id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid))), TASKS.c.status.in_(sorted(FINISHED))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which tasks to list; what is empty or None does not restrict. created_after is inclusive, created_before not."""

    statuses: Collection[str] = ()
    types: Collection[str] = ()
    labels: Sequence[tuple[str, str]] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None


def read(session: Session, task_id: UUID, *, owner: UUID | None) -> TaskRecord:
    """One task. `owner`, here and below: whose tasks there are; None is everybody's. Raises NotFound."""
    return _one(session, _READ, task_id, owner)


def lock(session: Session, task_id: UUID, *, owner: UUID | None) -> TaskRecord:
    """One task, which nobody else changes until the transaction ends. Raises NotFound."""
    return _one(session, _LOCK, task_id, owner)


def read_finished(connection: sa.Connection, ids: Collection[UUID]) -> list[TaskRecord]:
    """Those of the tasks that are finished, in one statement."""
    return [TaskRecord(**row) for row in connection.execute(_FINISHED_OF, {"ids": list(ids)}).mappings()]


def find(
    session: Session, criteria: Filter, *, owner: UUID | None, before: UUID | None, limit: int
) -> Page[TaskRecord]:
    """A page of the tasks older than `before`, newest first."""
    query = _TASK.where(*conditions(session, criteria)).order_by(TASKS.c.id.desc()).limit(limit + 1)
    if owner is not None:
        query = query.where(*belonging_to(owner, types=criteria.types))
    if before is not None:
        query = query.where(TASKS.c.id < before)
    records = [TaskRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit)


def _one(session: Session, query: sa.Select[Any], task_id: UUID, owner: UUID | None) -> TaskRecord:
    row = session.connection().execute(query, {"id": task_id}).mappings().first()
    # Somebody else's task is answered like one that does not exist, so that ids tell nothing.
    if row is None or (owner is not None and row["owner_id"] != owner):
        raise NotFound(f"There is no task {task_id}: check the id; it may also have been deleted.")
    return TaskRecord(**row)


def belonging_to(owner: UUID, *, types: Collection[str] = ()) -> list[sa.ColumnElement[bool]]:
    """An account's tasks; the deliveries to its webhooks, which it has not submitted, only where `types` name them."""
    theirs: list[sa.ColumnElement[bool]] = [TASKS.c.owner_id == owner]
    return theirs if types else [*theirs, TASKS.c.type != DELIVERY_TYPE]


def conditions(session: Session, criteria: Filter) -> list[sa.ColumnElement[bool]]:
    """The filter as SQL, with what lets an index serve it."""
    clauses: list[sa.ColumnElement[bool]] = [TASKS.c.labels.contains({key: value}) for key, value in criteria.labels]
    if criteria.labels:
        clauses.append(
            TASKS.c.labels != sa.text("'{}'")
        )  # says nothing new; an index of labels, where one was made, has it
    if criteria.statuses:
        clauses.append(TASKS.c.status.in_(sorted(criteria.statuses)))
        if not FINISHED & set(criteria.statuses):
            clauses.append(TASKS.c.due_at.is_not(None))  # says nothing new; the partial index needs to be told
    if criteria.types:
        clauses.append(TASKS.c.type.in_(sorted(criteria.types)))
    if criteria.created_after is not None:
        clauses.append(TASKS.c.created_at >= criteria.created_after)
    if criteria.created_before is not None:
        clauses.append(TASKS.c.created_at < criteria.created_before)
    if criteria.text:
        places = (TASKS.c.name, TASKS.c.type, TASKS.c.error["message"].astext)
        clauses.append(folding.holds(session, criteria.text, places))
    return clauses


def events(session: Session, task_id: UUID, *, owner: UUID | None, after: int | None, limit: int) -> Page[EventRecord]:
    """A page of a task's history, oldest first. Raises NotFound."""
    read(session, task_id, owner=owner)
    query = sa.select(EVENTS).where(EVENTS.c.task_id == task_id).order_by(EVENTS.c.id).limit(limit + 1)
    if after is not None:
        query = query.where(EVENTS.c.id > after)
    records = [EventRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit)


def change(
    session: Session,
    task_id: UUID,
    fields: Mapping[str, Any],
    *,
    owner: UUID | None,
    states: Collection[datetime] | None,
    now: datetime,
    payload_keys: ciphertexts.Keys = (),
    rights: Iterable[Rights] = (),
) -> TaskRecord:
    """Change a task that waits; `fields` are named as in a submission, and what it leaves out stays.

    `states`: the `updated_at` that the caller may have read (If-Match), None for any. Raises NotFound, Outdated,
    Conflict (not waiting), and what a submission raises. The row is locked, so no worker claims it in between.
    """
    old = _one(session, _LOCK, task_id, owner)
    _check_state(old, states)
    if old.status not in UNCLAIMED:
        raise Conflict(f"The task is {old.status}; only a task that is {_either(UNCLAIMED)} can be changed.")
    _check(old, fields, now=now)
    _check_rights(old, fields, tuple(rights))
    written = {CHANGEABLE[name]: value for name, value in fields.items() if name in CHANGEABLE}
    if "payload" in written and get_type(old.type).sensitive:
        written["payload"] = ciphertexts.encrypted(written["payload"], old.id, "payload", keys=payload_keys)
    if "payload" in written:
        written["schema_hash"] = get_type(old.type).schema_hash
    if written:
        session.connection().execute(sa.update(TASKS).where(TASKS.c.id == task_id).values(written))
    if "scheduled_at" in fields:
        lifecycle.reschedule(session, task_id, scheduled_at=fields["scheduled_at"], now=now)
    changed = read(session, task_id, owner=owner)
    if changed.status == Status.PENDING and not changed.admission_required:
        # Its hint may say something old (priority, time limit), or there is none yet; a second one is harmless.
        publish_after_commit(session, [changed])
    return changed


def delete(session: Session, task_id: UUID, *, owner: UUID | None, states: Collection[datetime] | None) -> None:
    """Forget a finished task and its history. Raises NotFound, Outdated or Conflict (not finished, not passed on)."""
    old = _one(session, _LOCK, task_id, owner)
    _check_state(old, states)
    check_own(old, "deleted")
    if old.status not in FINISHED:
        raise Conflict(f"The task is {old.status}; only a task that is {_either(FINISHED)} can be deleted.")
    if session.scalar(_PARENT_IS_UNFINISHED, {"id": task_id}):
        raise Conflict(f"Its parent, task {old.parent_id}, has not ended, and may ask what it returned.")
    if session.scalar(_NOT_PASSED_ON, {"id": task_id, "since": old.created_at}):
        raise Conflict("Its events have not been passed on yet; that takes a moment while a broker and dispatcher run.")
    session.connection().execute(sa.delete(TASKS).where(TASKS.c.id == task_id))
    session.execute(_FORGET_SIGNALS, {"id": task_id})
    # Its events may hold replaced payloads and error messages: who deletes a task wants them gone, too.
    session.connection().execute(sa.delete(LOG).where(LOG.c.task_id == task_id))
    session.connection().execute(sa.delete(EVENTS).where(EVENTS.c.task_id == task_id, EVENTS.c.at >= old.created_at))


def check_own(task: TaskRecord, what: str) -> None:
    """Raises Conflict for a task of a workflow run, which goes by the run alone."""
    if task.run_id is not None:
        raise Conflict(f"The task is step {task.step} of run {task.run_id}; it is {what} with its run only.")


def _check(old: TaskRecord, fields: Mapping[str, Any], *, now: datetime) -> None:
    if "payload" in fields:
        get_type(old.type).payload.load(fields["payload"])
    if fields.get("timeout") is not None:
        check_timeout(fields["timeout"])
    if "expires_at" in fields or "scheduled_at" in fields:
        check_times(fields.get("scheduled_at", old.scheduled_at), fields.get("expires_at", old.expires_at), now=now)


def _check_rights(old: TaskRecord, fields: Mapping[str, Any], rights: tuple[Rights, ...]) -> None:
    """Another payload is as good as another task, and another address as good as a first one."""
    if "payload" in fields and fields["payload"] != old.payload:
        rights_by_type.check_names(rights, [old.type])
    if fields.get("callback_url") not in (None, old.callback_url):
        rights_by_type.check_outside(rights)


def _check_state(task: TaskRecord, states: Collection[datetime] | None) -> None:
    if states is not None and task.updated_at not in states:
        raise Outdated("The task has changed since you read it: read it again and repeat the change on that.")


def _either(statuses: Collection[Status]) -> str:
    *most, last = sorted(statuses)
    return f"{', '.join(most)} or {last}"
