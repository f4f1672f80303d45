"""Why a held task is not admitted: the limit, who holds it, and when a place may come free."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services import circuits
from app.services.admission import deliveries
from app.services.admission import limits as limit_service
from app.services.admission.deliveries import Deliveries
from app.services.admission.limits import Applied, Lane, Limits
from app.services.circuits import DELIVERY_TYPE, Circuit

SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """What a held task waits for.

    `holders` and `others`: the tasks that hold the places, as far as the viewer may know of them, and how many of other
    accounts there are beside them. `cause`: `circuit` (its receiver's is open), `limit` (all places are taken), `rate`
    (spent for now), `order` (one before it with the same ordering key is not finished), `blocked` (one before it FAILED
    and blocks the key), `turn` (others go first; nothing forbids it).
    """

    cause: str
    limit: limit_service.Limit | None = None
    holders: tuple[UUID, ...] = ()
    others: int = 0
    ahead: int = 0
    frees_at: datetime | None = None
    circuit: Circuit | None = None


_PLACE = sa.text(
    "SELECT task_id, state, seq, rank, owner_id, type, queue, key, ordering_key FROM admissions WHERE task_id = :id"
)
_BEFORE = sa.text("""
    SELECT task_id, state
    FROM admissions
    WHERE owner_id = :owner_id
        AND ordering_key = :ordering_key
        AND ordering_key <> ''
        AND task_id <> :task_id
        AND (seq < :seq OR state IN ('out', 'running'))
    ORDER BY seq
    LIMIT :shown
""")
_ACTIVE = sa.text("""
    SELECT task_id, owner_id, type, queue, key
    FROM admissions
    WHERE state IN ('out', 'running')
        AND (:kind <> 'queue' OR queue = :name)
        AND (:kind <> 'type' OR type = :name)
        AND (:kind <> 'owner' OR owner_id::text = :name)
        AND (:kind <> 'key' OR key = :name)
        AND (CAST(:of AS uuid) IS NULL OR owner_id = :of)
    ORDER BY since
""")
_OF_PAIR = sa.text("""
    SELECT task_id
    FROM admissions
    WHERE state IN ('out', 'running') AND owner_id = :owner_id AND type = :type
    ORDER BY since
""")
_DELIVERING = sa.text("""
    SELECT task_id, owner_id
    FROM admissions
    WHERE state IN ('out', 'running')
        AND type = :type
        AND (CAST(:key AS text) IS NULL OR key = :key)
        AND (
            NOT :failing
            OR EXISTS (SELECT FROM webhook_endpoints AS e WHERE e.key = admissions.key AND e.failures > 0)
        )
    ORDER BY since
""")
_TOKENS = sa.text("SELECT tokens, at FROM rate_buckets WHERE kind = :kind AND name = :name")
_AHEAD = sa.text("""
    SELECT count(*)
    FROM (
        SELECT FROM admissions
        WHERE state = 'held' AND rank = :rank AND owner_id = :owner_id AND type = :type AND seq < :seq
        LIMIT 100000
    ) AS ahead
""")


def obstacle(session: Session, task_id: UUID, *, viewer: UUID | None, now: datetime) -> Obstacle | None:
    """What a task that is held or queued waits for; None for one that is neither.

    `viewer`: whose tasks are named as holders; None: everybody's.
    """
    place = session.execute(_PLACE, {"id": task_id}).mappings().first()
    if place is None or place["state"] not in ("held", "queued"):
        return None
    return _in_order(session, place) or _under_limits(session, place, viewer, now) or _its_turn(session, place)


def _in_order(session: Session, place: Any) -> Obstacle | None:
    before = session.execute(_BEFORE, {**place, "shown": SHOWN}).all()
    if not before:
        return None
    blocking = tuple(row.task_id for row in before if row.state == "blocking")
    if blocking:
        return Obstacle(cause="blocked", holders=blocking, ahead=len(before))
    return Obstacle(cause="order", holders=tuple(row.task_id for row in before), ahead=len(before))


def _under_limits(session: Session, place: Any, viewer: UUID | None, now: datetime) -> Obstacle | None:
    lane = Lane(*(place[name] for name in Lane.__slots__))
    built_in = _deliveries(session, lane, now)
    if built_in is not None and built_in.is_shut(lane):
        circuit = built_in.circuits[lane.key]
        return Obstacle(cause="circuit", circuit=circuit, frees_at=circuit.retry_at)
    for applied in Limits(limit_service.read(session), deliveries=built_in).of(lane):
        obstacle = _full(session, applied, lane, viewer) or _spent(session, applied, now)
        if obstacle:
            return obstacle
    return None


def _deliveries(session: Session, lane: Lane, now: datetime) -> Deliveries | None:
    if lane.type != DELIVERY_TYPE:
        return None
    known = circuits.read(session, {lane.key})
    return Deliveries(slots=deliveries.slots(session, now=now), circuits=known, now=now)


def _full(session: Session, applied: Applied, lane: Lane, viewer: UUID | None) -> Obstacle | None:
    limit = applied.limit
    if limit.kind in deliveries.KINDS:
        return _full_of_deliveries(session, applied, lane)
    if limit.max_running is not None:
        counted = {"kind": limit.kind, "name": applied.name, "of": applied.owner_id}
        active = session.execute(_ACTIVE, counted).all()
        if len(active) >= limit.max_running:
            named = [row.task_id for row in active if viewer in (None, row.owner_id)]
            return Obstacle(cause="limit", limit=limit, holders=tuple(named[:SHOWN]), others=len(active) - len(named))
    if limit.max_hints is not None:
        holders = session.scalars(_OF_PAIR, {"owner_id": lane.owner_id, "type": lane.type}).all()
        if len(holders) >= limit.max_hints:
            return Obstacle(cause="limit", limit=limit, holders=tuple(holders[:SHOWN]))
    return None


def _full_of_deliveries(session: Session, applied: Applied, lane: Lane) -> Obstacle | None:
    """As above; the deliveries of other accounts count, and are not named."""
    kind = applied.limit.kind
    to = lane.key if kind == deliveries.RECEIVER else None
    values = {"type": DELIVERY_TYPE, "key": to, "failing": kind == deliveries.FAILING}
    holders = session.execute(_DELIVERING, values).all()
    if len(holders) < (applied.limit.max_running or 0):
        return None
    theirs = [row.task_id for row in holders if row.owner_id == lane.owner_id]
    return Obstacle(cause="limit", limit=applied.limit, holders=tuple(theirs[:SHOWN]))


def _spent(session: Session, applied: Applied, now: datetime) -> Obstacle | None:
    rate = applied.limit.rate
    if rate is None:
        return None
    kept = session.execute(_TOKENS, {"kind": applied.place[0], "name": applied.place[1]}).first()
    left = kept.tokens + (now - kept.at).total_seconds() * rate.per_second if kept else rate.capacity
    if left >= 1:
        return None
    return Obstacle(cause="rate", limit=applied.limit, frees_at=now + timedelta(seconds=(1 - left) / rate.per_second))


def _its_turn(session: Session, place: Any) -> Obstacle:
    return Obstacle(cause="turn", ahead=session.scalar(_AHEAD, dict(place)) or 0)
