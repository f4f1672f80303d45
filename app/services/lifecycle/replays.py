"""Replays of many dead letters with a payload each, as repairs do it, and taking back those that have not started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.models import Json
from app.services.lifecycle import transitions
from app.services.lifecycle.statements import update

_REPLAY_WITH = update(
    transitions.REPLAYED,
    """
    due_at = :now, dispatched_at = NULL, payload = CAST(:payloads AS jsonb) -> tasks.id::text,
    schema_hash = :schema_hash, schema_refusals = NULL, solo = false, reason = 'replayed'
    """,
    "id = ANY(CAST(:ids AS uuid[])) AND run_id IS NULL AND taskledger.may_be_replayed(tasks.id, parent_id, step)",
)


def replay_with(session: Session, payloads: Mapping[UUID, Json], *, schema_hash: str, now: datetime) -> set[UUID]:
    """Start dead letters of a type over with these payloads, which the schema `schema_hash` of it accepts.

    Returns those that were dead letters.
    """
    texts = to_json({str(id_): payload for id_, payload in payloads.items()})
    parameters = {"ids": list(payloads), "payloads": texts, "schema_hash": schema_hash, "now": now}
    return set(session.scalars(_REPLAY_WITH, parameters))


@dataclass(frozen=True, kw_only=True, slots=True)
class OldPayload:
    """A payload that a replay has replaced, and the schema under which it was accepted."""

    payload: Json
    schema_hash: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BeforeReplay:
    """What a dead letter was like before it was replayed; `attempt` is the number of attempts it had then.

    `old` is what it is given back, where the replay has replaced its payload.
    """

    id: UUID
    attempt: int
    attempt_base: int
    failed_at: datetime
    old: OldPayload | None = None


_UNREPLAY = sa.text(f"""
    WITH before AS (
        SELECT *
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:attempts AS integer[]), CAST(:bases AS integer[]),
            CAST(:failed_at AS timestamptz[])
        ) AS before (id, attempt, attempt_base, failed_at)
    ), locked AS (
        SELECT tasks.id, before.attempt_base, before.failed_at
        FROM tasks
        JOIN before USING (id)
        WHERE {transitions.UNREPLAYED.guard}
            -- Replayed once since, and not claimed: a claim that was given back has left its start.
            AND tasks.attempt = before.attempt
            AND tasks.attempt_base = before.attempt
            AND tasks.started_at <= before.failed_at
        ORDER BY tasks.id
        FOR UPDATE OF tasks
    )
    UPDATE tasks
    SET status = '{transitions.UNREPLAYED.target}', attempt_base = locked.attempt_base,
        finished_at = locked.failed_at, dispatched_at = NULL,
        payload = coalesce(CAST(:payloads AS jsonb) -> tasks.id::text, payload),
        schema_hash = CASE WHEN CAST(:payloads AS jsonb) ? tasks.id::text THEN CAST(:hashes AS jsonb) ->> tasks.id::text
            ELSE schema_hash END,
        schema_refusals = NULL, reason = 'its replay was undone'
    FROM locked
    WHERE tasks.id = locked.id
    RETURNING tasks.id
""")


def unreplay(session: Session, tasks: Sequence[BeforeReplay]) -> set[UUID]:
    """Make those dead letters again, as they were, that have not started since they were replayed; returns them."""
    replaced = {str(each.id): each.old for each in tasks if each.old is not None}
    parameters = {
        "ids": [each.id for each in tasks],
        "attempts": [each.attempt for each in tasks],
        "bases": [each.attempt_base for each in tasks],
        "failed_at": [each.failed_at for each in tasks],
        "payloads": to_json({id_: old.payload for id_, old in replaced.items()}),
        "hashes": to_json({id_: old.schema_hash for id_, old in replaced.items()}),
    }
    return set(session.scalars(_UNREPLAY, parameters))
