"""Outcomes of an attempt, each recorded by the holder of its lease and by nobody else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Prepared, Session, array, texts, to_json
from app.services.lifecycle import transitions
from app.services.lifecycle.statements import Claim, LeaseLost, update, update_by_ids_text
from app.services.recovery.failures import Failure

NO_PAYLOAD: dict[str, str | None] = {"payload": None, "schema_hash": None}

LOCK_HELD = sa.text(f"""
    WITH held AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS uuid[])) AS held (id, lease))
    SELECT tasks.id
    FROM tasks
    JOIN held ON tasks.id = held.id AND tasks.lease = held.lease
    WHERE {transitions.RETURNED.guard}
    ORDER BY tasks.id
    FOR UPDATE OF tasks
""")


def lock_held(session: Session, claims: Sequence[Claim]) -> set[UUID]:
    """Lock the rows of those claims that still hold their lease: until the transaction ends, nobody takes it away."""
    parameters = {"ids": [claim.id for claim in claims], "leases": [claim.lease for claim in claims]}
    return set(session.scalars(LOCK_HELD, parameters))


# Results are looked up by id in one JSON object: a join with arrays would be planned, once for all, for far more rows.
COMPLETE = Prepared(
    "complete",
    update_by_ids_text(
        transitions.RETURNED,
        """
        result = nullif(:results -> tasks.id::text, 'null'), error = NULL, error_fingerprint = NULL, finished_at = :now,
        reason = :reasons ->> tasks.id::text,
        cancel_receipt = CASE WHEN cancel_requested_at IS NOT NULL THEN 'finished_first' END
        """,
        "id = ANY(:ids) AND lease = :lease",
    ),
    ids="uuid[]",
    lease="uuid",
    results="jsonb",
    reasons="jsonb",
    now="timestamptz",
)


def complete(
    session: Session, results: Sequence[tuple[Claim, Any]], *, now: datetime, reasons: Mapping[UUID, str] | None = None
) -> set[UUID]:
    """Record the results of several attempts; ids that are not returned had lost their lease: nothing was changed.

    `reasons`: why tasks are COMPLETED, where that is not obvious.
    """
    said = to_json({str(id_): reason for id_, reason in (reasons or {}).items()})
    recorded: set[UUID] = set()
    for lease in dict.fromkeys(claim.lease for claim, _ in results):  # one for all tasks of a hint
        under_it = [(claim.id, result) for claim, result in results if claim.lease == lease]
        ended = dict(zip(texts(id_ for id_, _ in under_it), (result for _, result in under_it), strict=True))
        parameters = {"ids": array(ended), "lease": lease, "results": to_json(ended), "reasons": said, "now": now}
        recorded.update(COMPLETE.execute(session, parameters).scalars().all())
    return recorded


_HELD = "id = :id AND lease = :lease"
RETRY = update(
    transitions.RETRIED,
    """
    due_at = :due_at, dispatched_at = NULL, error = CAST(:error AS jsonb), error_fingerprint = :fingerprint,
    reason = :reason
    """,
    f"{_HELD} AND cancel_requested_at IS NULL",
)
RETRY_AS_ASKED = update(
    transitions.RETRIED,
    """
    due_at = :due_at, dispatched_at = NULL, error = CAST(:error AS jsonb), error_fingerprint = :fingerprint,
    reason = :reason, max_retries = max_retries + 1, payload = coalesce(CAST(:payload AS jsonb), payload),
    schema_hash = CASE WHEN CAST(:payload AS text) IS NULL THEN schema_hash ELSE :schema_hash END
    """,
    f"{_HELD} AND cancel_requested_at IS NULL",
)
FAIL = update(
    transitions.FAILED,
    "error = CAST(:error AS jsonb), error_fingerprint = :fingerprint, finished_at = :now, reason = :reason",
    f"{_HELD} AND cancel_requested_at IS NULL",
)
STOP = update(
    transitions.STOPPED,
    """
    error = CAST(:error AS jsonb), error_fingerprint = :fingerprint, finished_at = :now, reason = :reason,
    cancel_receipt = :receipt
    """,
    f"{_HELD} AND cancel_requested_at IS NOT NULL",
)


def retry_later(
    session: Session, claim: Claim, failure: Failure, *, due_at: datetime, now: datetime, reason: str | None = None
) -> None:
    """Record a failed attempt and when the next one is due. Raises LeaseLost.

    A task whose cancellation was requested meanwhile is CANCELLED instead.
    """
    _end_badly(session, RETRY, claim, failure, now=now, reason=reason, due_at=due_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPayload:
    """What a task's next attempt is given, as JSON text, and the schema under which it was accepted."""

    text: str
    schema_hash: str


def retry_as_asked(
    session: Session, claim: Claim, failure: Failure, *, due_at: datetime, now: datetime, payload: NewPayload | None
) -> None:
    """Record that a worker which decides about retries by itself wants another attempt. Raises LeaseLost.

    None of the task's retries is used: one more is granted. A replaced payload stays in the history, as that of a
    replay does. A task whose cancellation was requested meanwhile is CANCELLED instead.
    """
    changed = {"payload": payload.text, "schema_hash": payload.schema_hash} if payload is not None else NO_PAYLOAD
    reason = "its worker asked for another attempt"
    _end_badly(session, RETRY_AS_ASKED, claim, failure, now=now, reason=reason, due_at=due_at, **changed)


def fail(session: Session, claim: Claim, failure: Failure, *, now: datetime, reason: str | None = None) -> None:
    """Record a failed attempt after which no other follows: a dead letter. Raises LeaseLost.

    A task whose cancellation was requested meanwhile is CANCELLED instead.
    """
    _end_badly(session, FAIL, claim, failure, now=now, reason=reason)


def stopped(session: Session, claim: Claim, *, receipt: str, now: datetime) -> None:
    """Confirm a requested cancellation: the handler has stopped. Raises LeaseLost."""
    parameters = {"error": None, "fingerprint": None, "reason": f"cancelled while it ran ({receipt})", "now": now}
    _one(session, STOP, claim, {**parameters, "receipt": receipt})


def _end_badly(session: Session, statement: sa.TextClause, claim: Claim, failure: Failure, **parameters: Any) -> None:
    described = {"error": to_json(failure.as_json()), "fingerprint": failure.fingerprint}
    arguments = {"id": claim.id, "lease": claim.lease, **described, **parameters}
    if session.scalar(statement, arguments) is None:
        reason = "raised after its cancellation was requested"
        _one(session, STOP, claim, {**described, "now": parameters["now"], "receipt": "stopped", "reason": reason})


def _one(session: Session, statement: sa.TextClause, claim: Claim, parameters: dict[str, Any]) -> None:
    if session.scalar(statement, {"id": claim.id, "lease": claim.lease, **parameters}) is None:
        raise LeaseLost(f"task {claim.id}, attempt {claim.attempt}")
