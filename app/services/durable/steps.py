"""The steps of a durable handler, each recorded by the holder of its task's lease before the handler gets it.

Every write locks the task's row FOR SHARE under its lease: who takes the lease away waits, or has done so before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.database import Prepared, Session, array, from_json, to_json
from app.services.lifecycle import Claim, LeaseLost

_LEASED = {"id": "uuid", "lease": "uuid"}
_HELD = {**_LEASED, "name": "text", "seq": "integer"}
_FENCE = Prepared("fence", "SELECT run_id FROM tasks WHERE id = :id AND lease = :lease FOR SHARE", **_LEASED)
# Items of groups are read when their group is; what begins with # is the service's.
_READ = Prepared(
    "read_steps",
    """
    SELECT name, kind, state, digest, result::text AS text, child_id, ended_at IS NOT NULL AS has_ended
    FROM task_steps
    WHERE task_id = :id AND kind <> 'checkpoint' AND name !~ '^#|\\['
    ORDER BY seq
    """,
    id="uuid",
)
# The next three lock and write in one statement: a handler waits for each round trip.
_BEGIN = Prepared(
    "begin_step",
    """
    WITH held AS (SELECT id FROM tasks WHERE id = :id AND lease = :lease FOR SHARE),
    begun AS (
        INSERT INTO task_steps (task_id, name, seq, kind, state, undo)
        SELECT id, :name, :seq, 'once', 'BEGUN', CAST(:undo AS jsonb)
        FROM held
        ON CONFLICT (task_id, name) DO NOTHING
    )
    SELECT id FROM held
    """,
    **_HELD,
    undo="text",
)
_FINISH = Prepared(
    "finish_step",
    """
    WITH held AS (SELECT id FROM tasks WHERE id = :id AND lease = :lease FOR SHARE)
    INSERT INTO task_steps (task_id, name, seq, kind, state, result, ended_at)
    SELECT id, :name, :seq, 'once', 'DONE', CAST(:result AS jsonb), clock_timestamp()
    FROM held
    ON CONFLICT (task_id, name) DO UPDATE SET state = 'DONE', result = excluded.result, ended_at = excluded.ended_at
    RETURNING result::text AS text
    """,
    **_HELD,
    result="text",
)
_WAIT = Prepared(
    "wait_step",
    """
    WITH held AS (SELECT id FROM tasks WHERE id = :id AND lease = :lease FOR SHARE)
    INSERT INTO task_steps (task_id, name, seq, kind, state, until)
    SELECT id, :name, :seq, :kind, 'BEGUN',
        coalesce(:until, clock_timestamp() + make_interval(secs => :seconds))
    FROM held
    ON CONFLICT (task_id, name) DO UPDATE SET seq = task_steps.seq
    RETURNING state, until, ended_at IS NOT NULL AS has_ended, coalesce(until <= clock_timestamp(), false) AS is_over,
        result::text AS text
    """,
    **_HELD,
    kind="text",
    until="timestamptz",
    seconds="float8",
)
_END_WAIT = Prepared(
    "end_wait",
    """
    UPDATE task_steps
    SET state = :state, result = CAST(:result AS jsonb), error = CAST(:error AS jsonb), ended_at = clock_timestamp()
    WHERE task_id = :id AND name = :name
    """,
    id="uuid",
    name="text",
    state="text",
    result="text",
    error="text",
)
_TAKE = Prepared(
    "take_signal",
    """
    UPDATE signals
    SET taken_by = :step
    WHERE (target, name, id) = (
        SELECT target, name, id
        FROM signals
        WHERE target = ANY(:targets) AND name = :name AND taken_by IS NULL
        ORDER BY id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    RETURNING data::text AS text, target
    """,
    targets="uuid[]",
    name="text",
    step="text",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step as its row has it; `text` is its result as JSON text, encrypted where its type is sensitive."""

    name: str
    kind: str
    state: str
    digest: str | None
    text: str | None
    child_id: UUID | None
    has_ended: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Waited:
    """A wait as its row has it after it was asked for. `until` is None for one without end."""

    has_ended: bool
    is_timed_out: bool
    until: datetime | None
    data: Any = None


def fence(session: Session, claim: Claim) -> UUID | None:
    """Hold the lease until the transaction ends; the id of the task's run. Raises LeaseLost."""
    run_id: UUID | None = _fenced(session, claim, _FENCE).run_id
    return run_id


def read(session: Session, task_id: UUID) -> list[Step]:
    """All that is remembered of a task, but for checkpoints and the items of groups."""
    return [Step(**row) for row in _READ.execute(session, {"id": task_id}).mappings()]


def begin(session: Session, claim: Claim, name: str, seq: int, undo: Any) -> None:
    """Remember that a step begins that `undo` (its task type and payload) takes back. Raises LeaseLost."""
    _fenced(session, claim, _BEGIN, {"name": name, "seq": seq, "undo": to_json(undo)})


def finish(session: Session, claim: Claim, name: str, seq: int, text: str) -> str:
    """Remember what came of a step, as JSON text; as PostgreSQL writes it from now on. Raises LeaseLost.

    It orders the names of an object by their length, and writes 1e20 as a whole number.
    """
    stored: str = _fenced(session, claim, _FINISH, {"name": name, "seq": seq, "result": text}).text
    return stored


def sleep(session: Session, claim: Claim, name: str, seq: int, until: datetime | timedelta) -> datetime | None:
    """Until when a step waits; None where that moment has come, which is remembered. Raises LeaseLost."""
    row = _fenced(session, claim, _WAIT, {**_wait(name, seq, until), "kind": "sleep"})
    if not row.has_ended and row.is_over:
        _end(session, claim, name, "DONE")
    return None if row.has_ended or row.is_over else row.until


def take(
    session: Session,
    claim: Claim,
    name: str,
    seq: int,
    *,
    signal: str,
    targets: Sequence[UUID],
    timeout: timedelta | None,
    decrypted: Callable[[Any, UUID], Any],
    kept: Callable[[Any], str],
) -> Waited:
    """Take the oldest signal of a name that nobody has taken, or note that none came in time. Raises LeaseLost.

    `targets` are the task and, if it belongs to one, its run. `decrypted` makes a value of what the signal's row has
    and its target, `kept` JSON text for the step's.
    """
    row = _fenced(session, claim, _WAIT, {**_wait(name, seq, timeout), "kind": "signal"})
    if row.has_ended:
        data = None if row.text is None else from_json(row.text)
        return Waited(has_ended=True, is_timed_out=row.state == "FAILED", until=row.until, data=data)
    taken = _TAKE.execute(session, {"targets": array(targets), "name": signal, "step": name}).first()
    if taken is not None:
        data = decrypted(None if taken.text is None else from_json(taken.text), taken.target)
        _end(session, claim, name, "DONE", result=kept(data))
        return Waited(has_ended=True, is_timed_out=False, until=row.until, data=data)
    if row.is_over:
        _end(session, claim, name, "FAILED", error=to_json({"type": "WaitTimedOut"}))
    return Waited(has_ended=bool(row.is_over), is_timed_out=bool(row.is_over), until=row.until)


def _fenced(session: Session, claim: Claim, statement: Prepared, values: Mapping[str, Any] | None = None) -> Any:
    """The row of a statement that asks for the claim's lease. Raises LeaseLost where it is no longer held."""
    row = statement.execute(session, {"id": claim.id, "lease": claim.lease, **(values or {})}).first()
    if row is None:
        raise LeaseLost(f"task {claim.id}, attempt {claim.attempt}")
    return row


def _wait(name: str, seq: int, until: datetime | timedelta | None) -> dict[str, Any]:
    return {
        "name": name,
        "seq": seq,
        "until": until if isinstance(until, datetime) else None,
        "seconds": until.total_seconds() if isinstance(until, timedelta) else None,
    }


def _end(
    session: Session, claim: Claim, name: str, state: str, *, result: str | None = None, error: str | None = None
) -> None:
    _END_WAIT.execute(session, {"id": claim.id, "name": name, "state": state, "result": result, "error": error})
