"""Admission in the database: what is held, what is active, and the one statement that lets tasks go."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services import circuits
from app.services.admission import limits as limit_service
from app.services.admission.deliveries import Deliveries, Slots
from app.services.admission.fair_share import Candidates, StrideScheduler, refilled, room_of
from app.services.admission.limits import Lane, Limits
from app.services.circuits import DELIVERY_TYPE
from app.services.lifecycle import LOOK_AGAIN, Waiting, admitted, require_admission

LANES, OF_LANE, MOST = 500, 50, 500
ONE_ADMITS = 7461736002  # key of the advisory lock: counts are exact because only one dispatcher admits at a time
SETTLE = timedelta(seconds=10)
_PLACE = "rank, owner_id, type, queue, key, ordering_key"

_DEMAND = sa.text("""
    SELECT CASE
        WHEN EXISTS (SELECT FROM admissions WHERE state = 'held') THEN 'held'
        WHEN EXISTS (SELECT FROM limits) OR EXISTS (SELECT FROM admissions) THEN 'active'
        ELSE 'idle' END
""")
_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
_ACTIVE = sa.text("""
    SELECT 0 AS rank, owner_id, type, queue, key, '' AS ordering_key, count(*) AS count
    FROM admissions
    WHERE state IN ('out', 'running')
    GROUP BY owner_id, type, queue, key
""")
# The first of each lane by way of the index, lane after lane, never over all that is held; and of a lane with an
# ordering key only the task whose turn it is.
_HELD = sa.text(f"""
    WITH RECURSIVE lane AS (
        (
            SELECT {_PLACE}
            FROM admissions
            WHERE state = 'held'
                AND ({_PLACE}) > (CAST(:rank AS smallint), CAST(:owner_id AS uuid), :type, :queue, :key, :ordering_key)
            ORDER BY {_PLACE}
            LIMIT 1
        )
        UNION ALL
        SELECT next.*
        FROM lane
        CROSS JOIN LATERAL (
            SELECT {_PLACE}
            FROM admissions
            WHERE state = 'held'
                AND (
                    admissions.rank, admissions.owner_id, admissions.type, admissions.queue, admissions.key,
                    admissions.ordering_key
                ) > (lane.rank, lane.owner_id, lane.type, lane.queue, lane.key, lane.ordering_key)
            ORDER BY {_PLACE}
            LIMIT 1
        ) AS next
    )
    SELECT lane.*, first.ids, first.seqs, first.since
    FROM (SELECT * FROM lane LIMIT :lanes) AS lane
    CROSS JOIN LATERAL (
        SELECT array_agg(task_id ORDER BY seq) AS ids, array_agg(seq ORDER BY seq) AS seqs, min(since) AS since
        FROM (
            SELECT task_id, seq, since
            FROM admissions AS held
            WHERE state = 'held'
                AND (held.rank, held.owner_id, held.type, held.queue, held.key, held.ordering_key) = (
                    lane.rank, lane.owner_id, lane.type, lane.queue, lane.key, lane.ordering_key
                )
                AND (
                    held.ordering_key = ''
                    OR NOT EXISTS (
                        SELECT FROM admissions AS other
                        WHERE other.owner_id = held.owner_id
                            AND other.ordering_key = held.ordering_key
                            AND other.ordering_key <> ''
                            AND (other.seq < held.seq OR other.state IN ('out', 'running'))
                    )
                )
            ORDER BY seq
            LIMIT :each
        ) AS task
    ) AS first
    WHERE NOT EXISTS (SELECT FROM pauses WHERE kind = 'type' AND name = lane.type AND resumed_at IS NULL)
""")
_TOKENS = sa.text("SELECT kind, name, tokens, at FROM rate_buckets")
_KEEP_TOKENS = sa.text("""
    INSERT INTO rate_buckets (kind, name, tokens, at)
    SELECT kind, name, tokens, :now
    FROM unnest(CAST(:kinds AS text[]), CAST(:names AS text[]), CAST(:tokens AS float[])) AS bucket (kind, name, tokens)
    ON CONFLICT (kind, name) DO UPDATE SET tokens = excluded.tokens, at = excluded.at
""")
# A place without a task would be chosen again and again, and keep others from theirs: what is left of a submission
# whose id was taken in the same moment, if its process was killed right then.
_FORGET_STRAYS = sa.text("""
    DELETE FROM admissions AS place
    WHERE task_id = ANY(CAST(:ids AS uuid[])) AND state = 'held'
        AND NOT EXISTS (SELECT FROM tasks WHERE id = place.task_id AND gated AND finished_at IS NULL)
""")
FIRST_LANE: dict[str, Any] = {
    "rank": -100,
    "owner_id": UUID(int=0),
    "type": "",
    "queue": "",
    "key": "",
    "ordering_key": "",
}


class LaneCursor:
    """Where the search for lanes with tasks on hold goes on: of very many, each round looks at some."""

    def __init__(self, *, boost_after: timedelta) -> None:
        self._after, self._boost_after = FIRST_LANE, boost_after
        self._slots = Slots()
        self.waits_for_circuits = False
        """Whether all that was on hold at the last look waits for circuits of receivers, which takes a while."""
        self.is_of_deliveries = False
        """Whether all of that were deliveries to webhooks."""

    def deliveries(self, session: Session, lanes: Sequence[Lane], *, now: datetime) -> Deliveries | None:
        """What the limits of deliveries depend on; None where there are none."""
        keys = {lane.key for lane in lanes if lane.type == DELIVERY_TYPE}
        if not keys:
            return None
        known = circuits.read(session, keys)
        return Deliveries(slots=self._slots.count(session, now=now), circuits=known, now=now)

    def read(self, session: Session, *, now: datetime) -> list[Candidates]:
        """The first tasks on hold of the next lanes; those on hold for long rank as if they were more urgent."""
        rows = session.execute(_HELD, {**self._after, "lanes": LANES, "each": OF_LANE}).mappings().all()
        last = rows[-1] if len(rows) >= LANES else FIRST_LANE
        self._after = {name: last[name] for name in FIRST_LANE}
        return [
            Candidates(lane=self._boosted(row, now), tasks=list(zip(row["seqs"], row["ids"], strict=True)))
            for row in rows
            if row["ids"]
        ]

    def _boosted(self, row: Any, now: datetime) -> Lane:
        if row["type"] == DELIVERY_TYPE:  # the longest wait is that for receivers which do not answer
            return _lane(row)
        return replace(_lane(row), rank=row["rank"] - max(0, (now - row["since"]) // self._boost_after))


class Demand(StrEnum):
    """Whether something is held, or could be soon."""

    HELD = "held"
    ACTIVE = "active"
    IDLE = "idle"


def demand(session: Session) -> Demand:
    """Whether there is anything to admit, or limits by which there could be."""
    return Demand(session.scalar(_DEMAND))


def admit(session: Session, cursor: LaneCursor, turns: StrideScheduler, *, now: datetime) -> list[Waiting]:
    """Let those go that limits, order and turns allow; the caller publishes their hints after the commit.

    Another dispatcher that admits at this moment makes this one do nothing, so that no limit is exceeded by both.
    """
    if not session.scalar(_LOCK, {"key": ONE_ADMITS}):
        return []
    candidates = cursor.read(session, now=now)
    cursor.waits_for_circuits = False
    cursor.is_of_deliveries = all(each.lane.type == DELIVERY_TYPE for each in candidates)
    if not candidates:
        return []
    active = [(_lane(row), row["count"]) for row in session.execute(_ACTIVE).mappings()]
    lanes = [each.lane for each in candidates]
    deliveries = cursor.deliveries(session, [*lanes, *(lane for lane, _ in active)], now=now)
    if deliveries is not None and all(map(deliveries.is_shut, lanes)):
        cursor.waits_for_circuits = True
        return []
    limits = Limits(limit_service.read(session), deliveries=deliveries)
    tokens = _tokens(session, candidates, limits, now)
    room = room_of(active, limits, tokens)
    chosen = turns.choose(candidates, limits, room, most=MOST)
    if tokens and chosen:
        _keep(session, room.tokens, now)
    if deliveries is not None and chosen:
        circuits.probe(session, deliveries.probed(_keys_of(candidates, set(chosen))), now=now)
    let_go = admitted(session, chosen, until=now + LOOK_AGAIN, now=now)
    if len(let_go) < len(chosen):
        session.execute(_FORGET_STRAYS, {"ids": list(set(chosen) - {each.id for each in let_go})})
    return let_go


def _keys_of(candidates: Sequence[Candidates], chosen: set[UUID]) -> set[str]:
    """Where the chosen deliveries go."""
    deliveries = [each for each in candidates if each.lane.type == DELIVERY_TYPE]
    return {each.lane.key for each in deliveries if any(task_id in chosen for _, task_id in each.tasks)}


def _lane(row: Any) -> Lane:
    return Lane(*(row[name] for name in Lane.__slots__))


def _tokens(
    session: Session, candidates: Sequence[Candidates], limits: Limits, now: datetime
) -> dict[tuple[str, str], float]:
    """What is left of the rate limits that concern these lanes."""
    rated = {each.place: each.limit.rate for one in candidates for each in limits.of(one.lane) if each.limit.rate}
    if not rated:
        return {}
    kept = {(kind, name): (tokens, at) for kind, name, tokens, at in session.execute(_TOKENS)}
    left = {}
    for place, rate in rated.items():
        tokens, at = kept.get(place, (rate.capacity, now))
        left[place] = refilled(tokens, since=at, now=now, per_second=rate.per_second, capacity=rate.capacity)
    return left


def _keep(session: Session, tokens: dict[tuple[str, str], float], now: datetime) -> None:
    places = sorted(tokens)
    values = {
        "kinds": [kind for kind, _ in places],
        "names": [name for _, name in places],
        "tokens": [tokens[place] for place in places],
    }
    session.execute(_KEEP_TOKENS, {**values, "now": now})


# Tasks that were submitted before a limit was set, or by a transaction that did not see it yet.
_EARLIER = sa.text("""
    SELECT id
    FROM tasks
    WHERE due_at IS NOT NULL
        AND NOT gated
        AND EXISTS (
            SELECT FROM limits
            WHERE (max_running IS NOT NULL OR rate_count IS NOT NULL OR max_hints IS NOT NULL)
                AND changed_at > :since
                AND (
                    kind = 'all'
                    OR (kind = 'queue' AND name = tasks.queue)
                    OR (kind = 'type' AND name = tasks.type)
                    OR (kind = 'owner' AND name = tasks.owner_id::text)
                    OR (
                        kind = 'key'
                        AND (
                            name = tasks.concurrency_key
                            OR (right(name, 1) = '*' AND starts_with(tasks.concurrency_key, left(name, -1)))
                        )
                    )
                )
        )
    ORDER BY id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
""")
_CHANGED = sa.text("SELECT EXISTS (SELECT FROM limits WHERE changed_at > :since)")


def bring_under_limits(session: Session, *, now: datetime, limit: int) -> int:
    """Bring unfinished tasks under limits that were set a short while ago; returns how many, 0 when all are."""
    since = now - SETTLE
    if not session.scalar(_CHANGED, {"since": since}):
        return 0
    earlier = session.scalars(_EARLIER, {"since": since, "limit": limit}).all()
    require_admission(session, earlier)
    return len(earlier)


# Two transactions that did not see each other can leave a key's first task behind nobody.
_PROMOTE = sa.text("""
    UPDATE admissions
    SET state = 'held', since = clock_timestamp()
    WHERE state = 'queued'
        AND task_id IN (
            SELECT DISTINCT ON (owner_id, ordering_key) task_id
            FROM admissions
            WHERE ordering_key <> ''
            ORDER BY owner_id, ordering_key, seq
        )
""")


def promote_first(session: Session) -> int:
    """Let the first of every ordering key be admitted, where that was missed; returns how many were."""
    done: Any = session.execute(_PROMOTE)
    return int(done.rowcount)
