"""Leases: taking them, holding them, giving them back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from app.database import ASYNCHRONOUSLY, Prepared, Session, array, to_json
from app.services.lifecycle import transitions
from app.services.lifecycle.statements import Claim, Holder, update, update_by_ids_text

# In the order of the fields of Claim, behind its lease.
_CLAIMED = """
    tasks.id, tasks.type, tasks.payload, tasks.attempt, tasks.attempt - tasks.attempt_base - 1 AS retries_used,
    tasks.max_retries, tasks.timeout_seconds, tasks.priority, tasks.queue, tasks.dispatched_at, tasks.run_id,
    tasks.request_id, tasks.traceparent,
    -- Since when it has waited for this attempt; a hint may have been published again meanwhile.
    CASE
    WHEN tasks.attempt = 1 THEN greatest(tasks.created_at, tasks.scheduled_at)
    ELSE tasks.dispatched_at END AS waiting_since,
    tasks.schema_hash
"""
CLAIM = Prepared(
    "claim",
    update_by_ids_text(
        transitions.CLAIMED,
        """
        attempt = attempt + 1, lease = :lease, leased_by = :worker, leased_pid = :pid, started_at = :now,
        due_at = :until
        """,
        """
        id = ANY(:ids)
        AND type = :type
        -- A task under a limit runs only once it is admitted: an old hint of it is a no-op.
        AND (NOT gated OR dispatched_at IS NOT NULL)
        AND (expires_at IS NULL OR expires_at > :now OR attempt > attempt_base)
        -- A payload of another schema is looked at before it is claimed: the worker may not understand it.
        AND (schema_hash IS NULL OR :schemas IS NULL OR schema_hash = ANY(:schemas))
        AND NOT EXISTS (SELECT FROM pauses WHERE kind = 'type' AND name = :type AND resumed_at IS NULL)
        """,
        _CLAIMED,
    ),
    ids="uuid[]",
    type="text",
    lease="uuid",
    worker="text",
    pid="integer",
    now="timestamptz",
    until="timestamptz",
    schemas="text[]",
)
HELD_UNDER = sa.text(f"SELECT {_CLAIMED} FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND lease = :lease")


def claim(
    session: Session,
    type_name: str,
    ids: Sequence[UUID],
    *,
    holder: Holder,
    lease_seconds: int,
    now: datetime,
    lease: UUID | None = None,
    schemas: Sequence[str] | None = None,
) -> list[Claim]:
    """Lease those of the tasks that are PENDING, in the order given; the rest are someone else's, or not due.

    `schemas`: only those whose payload was accepted under one of them, or under one that is not known; None for all.
    """
    lease = lease or uuid4()
    claimed = CLAIM.execute(
        session,
        {
            "ids": array(ids),
            "type": type_name,
            "lease": lease,
            "worker": holder.worker,
            "pid": holder.pid,
            "now": now,
            "until": now + timedelta(seconds=lease_seconds),
            "schemas": None if schemas is None else array(schemas),
        },
        before=ASYNCHRONOUSLY,  # a claim that a crash of the database forgets is only a fenced rerun
    )
    claims = {row[0]: Claim(lease, lease_seconds, *tuple[Any, ...](row)) for row in claimed.all()}
    return [claims[id_] for id_ in dict.fromkeys(ids) if id_ in claims]


def held_under(session: Session, lease: UUID, ids: Sequence[UUID], *, lease_seconds: int) -> list[Claim]:
    """What an earlier try with this lease has claimed: its answer was lost on the way."""
    rows = session.execute(HELD_UNDER, {"ids": list(ids), "lease": lease}).mappings()
    return [Claim(**row, lease=lease, lease_seconds=lease_seconds) for row in rows]


# A row that somebody has locked is passed over: the leases of the other tasks must not wait for it.
RENEW = sa.text("""
    WITH free AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND lease = ANY(CAST(:leases AS uuid[]))
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE tasks
    SET due_at = statement_timestamp() + make_interval(secs => :seconds)
    FROM free
    WHERE tasks.id = free.id
    RETURNING tasks.id
""")


def renew(session: Session, held: Iterable[Claim]) -> set[UUID]:
    """Hold these leases for their whole length from now on, by PostgreSQL's clock; one statement for each length.

    Ids that are not returned are lost, or locked by somebody.
    """
    by_length: defaultdict[int, list[Claim]] = defaultdict(list)
    for claim in held:
        by_length[claim.lease_seconds].append(claim)
    renewed: set[UUID] = set()
    for seconds, claims in by_length.items():
        ids, leases = [claim.id for claim in claims], list({claim.lease for claim in claims})
        renewed.update(session.scalars(RENEW, {"ids": ids, "leases": leases, "seconds": seconds}))
    return renewed


GIVE_BACK = update(
    transitions.GIVEN_BACK,
    "attempt = attempt - 1, dispatched_at = NULL, due_at = :now, reason = :reason, solo = tasks.solo OR :unchunked",
    "id = ANY(CAST(:ids AS uuid[])) AND lease = :lease AND cancel_requested_at IS NULL",
)


def give_back(
    session: Session, claims: Sequence[Claim], *, reason: str, now: datetime, unchunked: bool = False
) -> set[UUID]:
    """Return unfinished tasks of one hint to PENDING without counting the attempt; the ledger dispatches them again.

    `unchunked`: from now on each runs in a hint of its own. A task whose cancellation was requested is left out.
    """
    if not claims:
        return set()
    parameters = {
        "ids": [claim.id for claim in claims],
        "lease": claims[0].lease,
        "reason": reason,
        "unchunked": unchunked,
    }
    return set(session.scalars(GIVE_BACK, {**parameters, "now": now}))


INTERRUPTED = "given back: its worker"  # how the reason of an interrupted attempt begins
MAX_INTERRUPTIONS = 20  # of one attempt; the next one is charged as a lost worker is, so that no task runs for ever
TOO_MANY_INTERRUPTIONS = f"it was interrupted {MAX_INTERRUPTIONS} times and did not end"
INTERRUPTIONS = sa.text("""
    SELECT count(*)
    FROM task_events
    WHERE task_id = :id
        AND status = 'PENDING'
        AND previous_status = 'PROCESSING'
        AND attempt = :attempt
        AND starts_with(detail ->> 'reason', :reason)
""")


def is_interrupted_too_often(session: Session, task_id: UUID, attempt: int) -> bool:
    """Whether this attempt of a task, by its number, was given back MAX_INTERRUPTIONS times after it had begun."""
    parameters = {"id": task_id, "attempt": attempt, "reason": INTERRUPTED}
    return (session.scalar(INTERRUPTIONS, parameters) or 0) >= MAX_INTERRUPTIONS


# A row that somebody has locked is passed over, and told again later.
PROGRESS = sa.text("""
    WITH reports AS (
        SELECT *
        FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS uuid[]), CAST(:progress AS text[])) AS n (id, lease, progress)
    ), free AS (
        SELECT tasks.id, CAST(reports.progress AS jsonb) AS progress
        FROM tasks JOIN reports USING (id, lease)
        ORDER BY tasks.id
        FOR NO KEY UPDATE OF tasks SKIP LOCKED
    )
    UPDATE tasks
    SET progress = free.progress
    FROM free
    WHERE tasks.id = free.id
    RETURNING tasks.id
""")


def report_progress(session: Session, reports: Sequence[tuple[Claim, dict[str, Any]]]) -> set[UUID]:
    """Write how far attempts are, in one statement.

    Ids that are not returned have lost their lease, or are locked by somebody: nothing is written for them.
    """
    if not reports:
        return set()
    parameters = {
        "ids": [held.id for held, _ in reports],
        "leases": [held.lease for held, _ in reports],
        "progress": [to_json(progress) for _, progress in reports],
    }
    return set(session.scalars(PROGRESS, parameters))
