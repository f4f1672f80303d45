"""The limits in force: reading, setting and removing them, and how they apply to a task."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound, Refused
from app.services.circuits import DELIVERY_TYPE
from taskledger_sdk.registry import find_type, known_types

KINDS = ("all", "queue", "type", "owner", "key")
EVERYTHING = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """At most `count` starts in `seconds`; `burst` may start at once after a quiet time."""

    count: int
    seconds: float
    burst: int | None = None

    @property
    def per_second(self) -> float:
        """Tokens that come back in a second."""
        return self.count / self.seconds

    @property
    def capacity(self) -> float:
        """Most tokens that gather. A tenth of a second's worth unless said otherwise, so that a rate is even."""
        return float(self.burst) if self.burst is not None else max(1.0, self.per_second / 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One limit; what is None does not limit.

    A limit of a key gives each account places of its own, unless it is `shared`. All other kinds are shared by what
    they are, and do not say so.
    """

    kind: str
    name: str
    max_running: int | None = None
    rate: Rate | None = None
    max_hints: int | None = None
    weight: int | None = None
    shared: bool = False
    reason: str | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """What tasks have in common that wait for the same: all of a lane may go, or none."""

    rank: int
    owner_id: UUID
    type: str
    queue: str
    key: str
    ordering_key: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A limit as it applies to a lane: what is counted together. A key with * counts each key that it stands for.

    `owner_id`: of a key that is not shared, the account whose tasks are counted.
    """

    limit: Limit
    name: str
    owner_id: UUID | None = None

    @property
    def place(self) -> tuple[str, str]:
        """What its count and its bucket are kept under."""
        return self.limit.kind, self.name if self.owner_id is None else f"{self.owner_id} {self.name}"


class BuiltIn(Protocol):
    """Limits that nobody sets."""

    def limits_of(self, lane: Lane) -> Sequence[Applied]:
        """Those of a lane."""


class Limits:
    """All limits, arranged for the question which of them concern a lane. Pure."""

    def __init__(self, limits: Iterable[Limit], *, deliveries: BuiltIn | None = None) -> None:
        self._deliveries = deliveries
        self._exact = {(each.kind, each.name): each for each in limits}
        self._prefixes = sorted(
            (each for each in self._exact.values() if each.kind == "key" and each.name.endswith("*")),
            key=lambda each: -len(each.name),
        )

    def of(self, lane: Lane) -> list[Applied]:
        """The limits of a lane, the widest first; of several for its key, the most exact one.

        Deliveries to webhooks have limits of their own, and take nothing from what is set for all or for their owner:
        a receiver that does not answer must not hold up the tasks of which it is told.
        """
        if lane.type == DELIVERY_TYPE and self._deliveries is not None:
            return [*self._named(("queue", lane.queue), ("type", lane.type)), *self._deliveries.limits_of(lane)]
        applied = self._named(
            ("all", EVERYTHING),
            ("queue", lane.queue),
            ("type", lane.type),
            ("owner", str(lane.owner_id)),
        )
        of_key = self._of_key(lane.key) if lane.key else None
        if of_key is not None and lane.key is not None:
            applied.append(Applied(of_key, lane.key, None if of_key.shared else lane.owner_id))
        return applied

    def _of_key(self, key: str) -> Limit | None:
        exact = self._exact.get(("key", key))
        return exact or next((each for each in self._prefixes if key.startswith(each.name[:-1])), None)

    def _named(self, *places: tuple[str, str]) -> list[Applied]:
        return [Applied(self._exact[place], place[1]) for place in places if place in self._exact]

    def weight_of(self, owner_id: UUID) -> int:
        """An owner's share where owners compete."""
        limit = self._exact.get(("owner", str(owner_id)))
        return (limit and limit.weight) or 1


_COLUMNS = (
    "kind, name, max_running, rate_count, rate_seconds, rate_burst, max_hints, weight, shared, reason, "
    "changed_at, changed_by"
)
_READ = sa.text(f"SELECT {_COLUMNS} FROM limits ORDER BY kind, name")
_CHANGED = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", ")[2:])
_SET = sa.text(f"""
    INSERT INTO limits ({_COLUMNS})
    VALUES (
        :kind, :name, :max_running, :rate_count, :rate_seconds, :rate_burst, :max_hints, :weight, :shared, :reason,
        :changed_at, :changed_by
    )
    ON CONFLICT (kind, name) DO UPDATE SET {_CHANGED}
""")
_REMOVE = sa.text("DELETE FROM limits WHERE kind = :kind AND name = :name RETURNING name")


def read(session: Session) -> list[Limit]:
    """All limits, by kind and name."""
    return [_limit(row) for row in session.execute(_READ).mappings()]


def set_limit(session: Session, limit: Limit) -> None:
    """Set a limit, in place of the one with the same kind and name. Raises Refused for a name that cannot be.

    Tasks submitted from now on fall under it at once; the dispatcher brings earlier ones under it within seconds.
    """
    _check(limit)
    write(session, limit)


def write(session: Session, limit: Limit) -> None:
    """The same without a look at its name: of a type that is declared in this transaction, nobody knows yet."""
    rate = limit.rate
    session.execute(
        _SET,
        {
            **{name: getattr(limit, name) for name in Limit.__slots__ if name != "rate"},
            "rate_count": rate and rate.count,
            "rate_seconds": rate and rate.seconds,
            "rate_burst": rate and rate.burst,
        },
    )


def remove(session: Session, kind: str, name: str) -> None:
    """Remove a limit: what it held is admitted by the dispatcher's next looks. Raises NotFound."""
    if session.scalar(_REMOVE, {"kind": kind, "name": name}) is None:
        raise NotFound(f"There is no limit of {kind} {name!r}; GET /api/v1/limits lists those there are.")


def _limit(row: sa.RowMapping) -> Limit:
    values: dict[str, Any] = {**row}
    count, seconds, burst = (values.pop(f"rate_{part}") for part in ("count", "seconds", "burst"))
    return Limit(**values, rate=Rate(count=count, seconds=seconds, burst=burst) if count else None)


def _check(limit: Limit) -> None:
    if limit.kind == "all" and limit.name != EVERYTHING:
        raise Refused({"name": [f"the one limit of kind all is called {EVERYTHING}"]})
    if limit.kind == "type" and find_type(limit.name) is None:
        raise Refused({"name": [f"is no task type; known: {', '.join(known_types())}"]})
    if limit.kind == "owner" and not _is_uuid(limit.name):
        raise Refused({"name": ["must be the id of an account"]})
    if limit.weight is not None and limit.kind != "owner":
        raise Refused({"weight": ["only owners have one"]})
    if limit.shared and limit.kind != "key":
        raise Refused({"shared": ["only keys are shared, or not"]})
    if limit.max_hints is not None and limit.kind not in ("all", "type", "owner"):
        raise Refused({"max_hints": ["can be set for all, for a type and for an owner"]})
    if all(value is None for value in (limit.max_running, limit.rate, limit.max_hints, limit.weight)):
        raise Refused({"_schema": ["says nothing: give max_running, rate, max_hints or weight, or DELETE it"]})


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


_USAGE = sa.text("""
    SELECT owner_id, type, count(*) FILTER (WHERE state = 'held') AS held,
        count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'out') AS out,
        count(*) FILTER (WHERE state = 'running') AS running
    FROM admissions
    WHERE (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
    GROUP BY owner_id, type
    ORDER BY owner_id, type
""")


def usage(session: Session, *, owner: UUID | None) -> Iterator[dict[str, Any]]:
    """What tasks under limits do now, by owner and type: held, queued behind their key, on their way (out), running."""
    for row in session.execute(_USAGE, {"owner": owner}).mappings():
        yield dict(row)
