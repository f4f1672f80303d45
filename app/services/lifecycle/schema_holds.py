"""Tasks on hold because the workers that were asked do not take their payload: it is one of another release.

The state is in columns: PENDING, no `dispatched_at`, and a reason that begins with OTHER_SCHEMA. `schema_refusals` has
the schema of each worker that put it on hold, which says how long it waits, and who need not be asked again. No attempt
is counted and no event is written, because its status stays what it is.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from app.database import Session

OTHER_SCHEMA = "held: needs a worker"
"""How `tasks.reason` begins; the trigger that keeps `admissions` compares it, too."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=10)
MAX_REFUSALS = 20  # of which a row keeps a note

IS_HELD = f"""
    (
        tasks.dispatched_at IS NULL
        AND starts_with(tasks.reason, '{OTHER_SCHEMA}')
        AND NOT EXISTS (
            SELECT FROM workers
            WHERE stopped_at IS NULL
                AND last_seen_at > :alive_since
                AND workers.types ? tasks.type
                AND (
                    workers.types ->> tasks.type = tasks.schema_hash
                    OR coalesce(workers.upgrades -> tasks.type, '[]') ? tasks.schema_hash
                    OR workers.types ->> tasks.type <> ALL(coalesce(tasks.schema_refusals, '{{}}'))
                )
        )
    )
"""
"""Whether nobody lives that could take it: no worker with its schema, nor one of a release that was not asked yet."""


class OtherPayload(NamedTuple):
    """A task that waits, with a payload of a schema that its worker does not know."""

    id: UUID
    schema_hash: str
    payload: Any


_OF_OTHER_SCHEMAS = sa.text("""
    SELECT id, schema_hash, payload
    FROM tasks
    WHERE id = ANY(CAST(:ids AS uuid[]))
        AND status = 'PENDING'
        AND type = :type
        AND schema_hash <> ALL(CAST(:schemas AS text[]))
        AND (NOT gated OR dispatched_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM pauses WHERE kind = 'type' AND name = :type AND resumed_at IS NULL)
    ORDER BY id
""")


def of_other_schemas(
    session: Session, type_name: str, ids: Collection[UUID], *, schemas: Sequence[str]
) -> list[OtherPayload]:
    """Those of the tasks that could be claimed, and were accepted under none of these schemas; nothing is locked."""
    rows = session.execute(_OF_OTHER_SCHEMAS, {"ids": sorted(ids), "type": type_name, "schemas": list(schemas)})
    return [OtherPayload(*row) for row in rows]


_HOLD = sa.text(f"""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING' AND dispatched_at IS NOT NULL
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET dispatched_at = NULL,
        due_at = CAST(:now AS timestamptz) + make_interval(secs => least(
            {FIRST_PAUSE.total_seconds():g} * 2 ^ cardinality(coalesce(schema_refusals, '{{}}')),
            {LONGEST_PAUSE.total_seconds():g}
        )),
        reason = '{OTHER_SCHEMA} that takes payloads of schema ' || schema_hash,
        schema_refusals = (
            CASE
            WHEN cardinality(schema_refusals) >= {MAX_REFUSALS} THEN schema_refusals[2:]
            ELSE coalesce(schema_refusals, '{{}}') END
        ) || CAST(:schema AS text)
    FROM locked
    WHERE tasks.id = locked.id
    RETURNING tasks.id
""")


def hold_for_schema(session: Session, ids: Collection[UUID], *, schema: str, now: datetime) -> set[UUID]:
    """Put tasks on hold whose payload a worker with this schema does not take: 10 s, then twice as long, up to 10 min.

    Returns those that were held by it; one that was claimed, or held by another worker, meanwhile is left out.
    """
    if not ids:
        return set()
    return set(session.scalars(_HOLD, {"ids": sorted(ids), "schema": schema, "now": now}))


# `due_at > :now` says nothing new; the partial index needs to be told.
_LOOK_AGAIN = sa.text(f"""
    WITH held AS (
        SELECT id
        FROM tasks
        WHERE due_at > :now
            AND status = 'PENDING'
            AND dispatched_at IS NULL
            AND starts_with(reason, '{OTHER_SCHEMA}')
            AND type = ANY(CAST(:types AS text[]))
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks
    SET due_at = :now
    FROM held
    WHERE tasks.id = held.id
    RETURNING tasks.id
""")


def look_again(session: Session, types: Collection[str], *, now: datetime, limit: int) -> int:
    """Make tasks of these types due that are on hold for their payload: other workers live now. Returns how many."""
    return len(session.execute(_LOOK_AGAIN, {"types": sorted(types), "now": now, "limit": limit}).all())
