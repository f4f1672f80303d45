"""Changes of tasks that wait: falling due, expiring, starting later."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from app.database import Session, use_indexes
from app.models import PARKED
from app.models.worker import ALIVE_FOR
from app.services.lifecycle import schema_holds, transitions
from app.services.lifecycle.holds import NEVER
from app.services.lifecycle.statements import LOOK_AGAIN, WrongStatus, update
from taskledger_sdk.workflows.control import WAIT_FOR

# The first rows of the one index on due_at, passing over those that another dispatcher has in hand.
_TAKE_DUE = """
    WITH taken AS (
        SELECT {columns}
        FROM tasks
        WHERE due_at <= :now AND due_at >= :since AND {which}
        ORDER BY due_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
"""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a hint is made of."""

    id: UUID
    type: str
    queue: str
    priority: str
    timeout_seconds: int | None
    unchunked: bool
    traceparent: str | None = None


HINT_COLUMNS = """
    tasks.id, tasks.type, tasks.queue, tasks.priority, tasks.timeout_seconds, tasks.solo AS unchunked, tasks.traceparent
"""
_IS_DUE = f"({transitions.DUE.guard} OR (tasks.status = 'PENDING' AND dispatched_at IS NULL))"
_IS_HELD = f"id, {schema_holds.IS_HELD} AS is_held"
_FALL_DUE = f"""
    UPDATE tasks
    SET status = '{transitions.DUE.target}', aged = 0,
        dispatched_at = CASE WHEN gated OR is_held THEN NULL ELSE CAST(:now AS timestamptz) END,
        due_at = CASE
            WHEN is_held THEN CAST(:now AS timestamptz) + interval '{schema_holds.LONGEST_PAUSE.total_seconds():g} s'
            WHEN gated THEN CAST(:never AS timestamptz)
            ELSE :until END,
        -- What was on hold for its payload is so no more: a live worker may take it.
        reason = CASE
            WHEN NOT is_held AND starts_with(reason, '{schema_holds.OTHER_SCHEMA}') THEN NULL
            ELSE reason END
    FROM taken
    WHERE tasks.id = taken.id
    RETURNING {HINT_COLUMNS}, tasks.dispatched_at IS NOT NULL AS is_dispatched
"""
FALL_DUE = sa.text(_TAKE_DUE.format(columns=_IS_HELD, which=_IS_DUE) + _FALL_DUE)
FALL_DUE_WITHOUT_BROKER = sa.text(
    _TAKE_DUE.format(columns=_IS_HELD, which=f"{_IS_DUE} AND starts_with(tasks.queue, :prefix)") + _FALL_DUE
)
ADMITTED = sa.text(f"""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING' AND gated AND dispatched_at IS NULL
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET dispatched_at = :now, due_at = :until, aged = 0
    FROM locked
    WHERE tasks.id = locked.id
    RETURNING {HINT_COLUMNS}
""")
EXPIRE = sa.text(
    _TAKE_DUE.format(
        columns="id", which=f"expires_at <= :now AND attempt = attempt_base AND {transitions.EXPIRED.guard}"
    )
    + f"""
    UPDATE tasks
    SET status = '{transitions.EXPIRED.target}', finished_at = :now, cancel_receipt = 'never_started',
        reason = 'not started before its expires_at'
    FROM taken
    WHERE tasks.id = taken.id
    RETURNING tasks.id
    """
)


def fall_due(
    session: Session, *, since: datetime, now: datetime, limit: int, prefix: str | None = None
) -> tuple[list[Waiting], int]:
    """Move what is due (or had no hint until now) to PENDING, as dispatched now; the caller publishes the hints.

    `since`: rows due before that moment are not looked at, because they were found not to be there. Tasks under a limit
    move, too, but are left for their admission. Tasks on hold for their payload stay so while no worker lives that
    could take it. The second number counts all that were looked at. `prefix`: only those whose queue begins so.
    """
    values = {"since": since, "now": now, "until": now + LOOK_AGAIN, "never": NEVER, "limit": limit}
    values["alive_since"] = now - ALIVE_FOR
    use_indexes(session, in_order=True)
    if prefix is None:
        rows = session.execute(FALL_DUE, values).mappings().all()
    else:
        rows = session.execute(FALL_DUE_WITHOUT_BROKER, {**values, "prefix": prefix}).mappings().all()
    return [_waiting(row) for row in rows if row["is_dispatched"]], len(rows)


def admitted(session: Session, ids: Sequence[UUID], *, until: datetime, now: datetime) -> list[Waiting]:
    """Those tasks on hold that still wait, as dispatched now, in the order given; the caller publishes their hints."""
    rows = session.execute(ADMITTED, {"ids": list(ids), "now": now, "until": until}).mappings()
    hints = {row["id"]: _waiting(row) for row in rows}
    return [hints[id_] for id_ in ids if id_ in hints]


def _waiting(row: sa.RowMapping) -> Waiting:
    return Waiting(**{name: row[name] for name in Waiting.__struct_fields__})


def expire(session: Session, *, since: datetime, now: datetime, limit: int) -> int:
    """Cancel what was not started before its `expires_at`; returns how many."""
    use_indexes(session, in_order=True)
    return len(session.execute(EXPIRE, {"since": since, "now": now, "limit": limit}).all())


RESCHEDULE = update(
    transitions.RESCHEDULED,
    "scheduled_at = :scheduled_at, due_at = :scheduled_at, dispatched_at = NULL",
    "id = :id",
)
START_NOW = update(
    transitions.STARTED_EARLY,
    "scheduled_at = :scheduled_at, due_at = :now, dispatched_at = NULL",
    "id = :id",
)


def reschedule(session: Session, task_id: UUID, *, scheduled_at: datetime | None, now: datetime) -> None:
    """Move the start of a waiting task; None or a past moment starts it now. Raises WrongStatus."""
    if scheduled_at is not None and scheduled_at > now:
        moved = session.scalar(RESCHEDULE, {"id": task_id, "scheduled_at": scheduled_at})
    else:
        parameters = {"id": task_id, "scheduled_at": scheduled_at, "now": now}
        moved = session.scalar(START_NOW, parameters) or session.scalar(_KEEP_START, parameters)
    if moved is None:
        raise WrongStatus(_status(session, task_id))


_KEEP_START = sa.text(
    "UPDATE tasks SET scheduled_at = :scheduled_at WHERE id = :id AND status IN ('PENDING', 'RETRYING') RETURNING id"
)


def _status(session: Session, task_id: UUID) -> Any:
    return session.scalar(sa.text("SELECT status FROM tasks WHERE id = :id"), {"id": task_id}) or "deleted"


CANCEL = update(
    transitions.CANCELLED,
    """
    finished_at = :now, reason = :reason,
    -- Of a durable handler that was woken, no attempt of its budget has begun; what it did stands in its steps.
    cancel_receipt = CASE
        WHEN attempt > attempt_base OR status = 'WAITING'
            OR EXISTS (SELECT FROM task_steps WHERE task_id = tasks.id) THEN 'stopped'
        ELSE 'never_started' END
    """,
    "id = ANY(CAST(:ids AS uuid[])) AND NOT (status = 'WAITING' AND taskledger.has_open_children(tasks.id))",
)
# With children that have not ended it is cancelled when they have; the duty that takes wake-ups cancels those.
_CANCEL_LATER = sa.text(f"""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'WAITING' AND cancel_requested_at IS NULL
        ORDER BY id
        FOR UPDATE
    ), wake_ups AS (INSERT INTO workflow_news (task_id) SELECT id FROM locked)
    UPDATE tasks
    SET cancel_requested_at = :now, due_at = '{PARKED.isoformat()}'
    FROM locked
    WHERE tasks.id = locked.id
""")
ASK_TO_STOP = sa.text("""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PROCESSING'
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET cancel_requested_at = coalesce(cancel_requested_at, :now)
    FROM locked
    WHERE tasks.id = locked.id
    RETURNING tasks.id
""")


def cancel(session: Session, ids: Sequence[UUID], *, reason: str, now: datetime) -> set[UUID]:
    """Cancel those that wait; returns them.

    A WAITING one whose children have not ended is not among them: it is CANCELLED when they are.
    """
    cancelled = set(session.scalars(CANCEL, {"ids": list(ids), "now": now, "reason": reason}))
    if len(cancelled) < len(ids):
        session.execute(_CANCEL_LATER, {"ids": list(set(ids) - cancelled), "now": now})
    return cancelled


def ask_to_stop(session: Session, ids: Sequence[UUID], *, now: datetime) -> set[UUID]:
    """Ask those that run to stop; they are CANCELLED once that is confirmed. Returns them."""
    return set(session.scalars(ASK_TO_STOP, {"ids": list(ids), "now": now}))


REPLAY = update(
    transitions.REPLAYED,
    """
    due_at = :now, dispatched_at = NULL, max_retries = coalesce(CAST(:max_retries AS integer), max_retries),
    payload = coalesce(CAST(:payload AS jsonb), payload),
    schema_hash = CASE WHEN CAST(:payload AS jsonb) IS NULL THEN schema_hash ELSE CAST(:schema_hash AS text) END,
    schema_refusals = NULL, solo = run_id IS NOT NULL, reason = 'replayed'
    """,
    """
    id = ANY(CAST(:ids AS uuid[]))
    AND (run_id IS NULL OR run_id = CAST(:run_id AS uuid))
    -- By its parent, too, only when nothing of what it did is being undone.
    AND CASE WHEN parent_id = CAST(:parent_id AS uuid) THEN taskledger.may_be_replayed(tasks.id, NULL, NULL)
        ELSE taskledger.may_be_replayed(tasks.id, parent_id, step) END
    """,
)
_FORGET_STEPS = sa.text("DELETE FROM task_steps WHERE task_id = ANY(CAST(:ids AS uuid[]))")
# A step of a workflow that waits remembers until when, and would be too late at once; and the signals that it took.
_FORGET_WAITS = sa.text(f"""
    DELETE FROM task_steps
    USING tasks
    WHERE tasks.id = task_steps.task_id AND tasks.id = ANY(CAST(:ids AS uuid[])) AND tasks.type = '{WAIT_FOR}'
        AND (task_steps.kind = 'once' OR task_steps.state <> 'DONE')
""")


def replay(
    session: Session,
    ids: Sequence[UUID],
    *,
    now: datetime,
    payload: str | None = None,
    schema_hash: str | None = None,
    max_retries: int | None = None,
    run_id: UUID | None = None,
    parent_id: UUID | None = None,
    fresh: bool = False,
) -> set[UUID]:
    """Start dead letters and cancelled tasks over, with a fresh retry budget; returns those that were either.

    `payload`: JSON text that replaces theirs, accepted under the schema `schema_hash`; the old one stays in the
    history. Tasks of a run are only started over
    for it: by the caller that has locked it and says so with `run_id`; the children that a durable handler waits for
    likewise, with `parent_id`. What a durable handler has behind it is remembered, unless it starts `fresh`; a step
    that waits for a signal has its whole time again.
    """
    parameters = {
        "ids": list(ids),
        "now": now,
        "payload": payload,
        "schema_hash": schema_hash,
        "max_retries": max_retries,
        "run_id": run_id,
        "parent_id": parent_id,
    }
    replayed = set(session.scalars(REPLAY, parameters))
    if fresh and replayed:
        session.execute(_FORGET_STEPS, {"ids": list(replayed)})
    elif replayed and (run_id or parent_id):
        session.execute(_FORGET_WAITS, {"ids": list(replayed)})
    return replayed
