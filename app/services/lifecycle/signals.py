"""Signals: recording one, and waking whoever waits for it. Taking one is recorded by the attempt that asks for it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.database import Prepared, Session, array
from app.services.lifecycle import transitions
from app.services.lifecycle.statements import update_by_ids_text

_RECORD = Prepared(
    "record_signal",
    """
    INSERT INTO signals (target, name, data, key, sent_by, at)
    SELECT :target, :name, CAST(:data AS jsonb), :key, :sent_by, :now
    WHERE (SELECT count(*) FROM signals WHERE target = :target AND taken_by IS NULL) < :most
    ON CONFLICT (target, key) DO NOTHING
    RETURNING id
    """,
    target="uuid",
    name="text",
    data="text",
    key="text",
    sent_by="uuid",
    now="timestamptz",
    most="integer",
)
_WAKE = Prepared(
    "wake_for_signal",
    update_by_ids_text(
        transitions.WOKEN,
        "dispatched_at = NULL, due_at = :now, reason = :reason",
        """
        id = ANY(:ids) AND cancel_requested_at IS NULL
        AND waits_for ->> 'signal' = :name
        AND CAST(:target AS text) IN (CAST(id AS text), waits_for ->> 'target')
        """,
    ),
    ids="uuid[]",
    name="text",
    target="uuid",
    now="timestamptz",
    reason="text",
)


def send(
    session: Session,
    target: UUID,
    name: str,
    *,
    waiting: Sequence[UUID],
    data: str | None,
    key: str | None,
    sent_by: UUID | None,
    most: int,
    now: datetime,
) -> int | None:
    """Record a signal to a task or run, and wake the tasks that wait for it; it is kept until somebody takes it.

    `waiting`: the tasks that may wait for it: the task itself, or the unfinished tasks of a run. The caller has locked
    them, and the run, before: whoever suspends one of them does the same. `data` is JSON text, encrypted where it has
    to be. Returns the signal's id; None, and nothing was changed, where one with this key was sent before, or where
    `most` lie untaken.
    """
    values = {"target": target, "name": name, "now": now}
    recorded = {**values, "data": data, "key": key, "sent_by": sent_by, "most": most}
    signal_id: int | None = _RECORD.execute(session, recorded).scalar()
    if signal_id is not None and waiting:
        _WAKE.execute(session, {**values, "ids": array(waiting), "reason": f"the signal {name} came"})
    return signal_id
