"""The limits of deliveries to webhooks, which are built in: two at once for a receiver, and never all of the workers.

Deliveries wait for others: a receiver that accepts and never answers holds a slot for 15 seconds. So they take at most
half of the slots of workers that run other tasks as well, and those to receivers that fail take half of that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import Session
from app.services.admission.limits import Applied, Lane, Limit
from app.services.circuits import DELIVERY_QUEUE, DELIVERY_TYPE, Circuit, State
from app.services.dispatch.workers import ALIVE_FOR

AT_ONCE = 2
RECEIVER, ALL, FAILING = "receiver", "deliveries", "failing deliveries"
KINDS = (RECEIVER, ALL, FAILING)
REASON = "built in"

_SLOTS = sa.text("""
    SELECT coalesce(sum(CASE WHEN cardinality(queues) = 1 THEN concurrency ELSE concurrency / 2 END), 0)
    FROM workers
    WHERE stopped_at IS NULL AND last_seen_at > :since AND :queue = ANY(queues)
""")


def slots(session: Session, *, now: datetime) -> int:
    """How many deliveries may run at once: half of the slots of each live worker, all of one that does nothing else.

    At least one: a worker may come that has not been seen yet.
    """
    return max(1, session.scalar(_SLOTS, {"since": now - ALIVE_FOR, "queue": DELIVERY_QUEUE}) or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliveries:
    """What the built-in limits depend on. Pure."""

    slots: int = 1
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    now: datetime

    def limits_of(self, lane: Lane) -> Sequence[Applied]:
        """The built-in limits of a lane of deliveries."""
        circuit = self.circuits.get(lane.key)
        applied = [
            Applied(_limit(RECEIVER, lane.key, self._at_once(circuit)), lane.key),
            Applied(_limit(ALL, ALL, self.slots), ALL),
        ]
        if circuit is not None and circuit.failures:
            applied.append(Applied(_limit(FAILING, FAILING, max(1, self.slots // 2)), FAILING))
        return applied

    def is_shut(self, lane: Lane) -> bool:
        """Whether the circuit of the lane's receiver is open, so that nothing of it can go for a while."""
        circuit = self.circuits.get(lane.key)
        return lane.type == DELIVERY_TYPE and circuit is not None and circuit.is_open(self.now)

    def _at_once(self, circuit: Circuit | None) -> int:
        if circuit is None or circuit.state == State.CLOSED:
            return AT_ONCE
        return 0 if circuit.is_open(self.now) else 1

    def probed(self, keys: Iterable[str]) -> list[str]:
        """Of the receivers that a delivery goes to now, those whose circuit is open until it has told."""
        return [key for key in keys if key in self.circuits and self.circuits[key].state == State.OPEN]


def _limit(kind: str, name: str, most: int) -> Limit:
    return Limit(kind=kind, name=name, max_running=most, reason=REASON)


class Slots:
    """The number of slots, asked for every other second."""

    def __init__(self, *, every: timedelta = timedelta(seconds=2)) -> None:
        self._every = every
        self._until: datetime | None = None
        self._slots = 1

    def count(self, session: Session, *, now: datetime) -> int:
        """As `slots`, some seconds old."""
        if self._until is None or not now < self._until <= now + self._every:
            self._slots, self._until = slots(session, now=now), now + self._every
        return self._slots
