"""Whose turn it is: priority first, then owners by their weights, each owner's tasks in order of submission. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.services.admission.limits import Applied, Lane, Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The first held tasks of one lane, in order of submission: `(seq, task id)`."""

    lane: Lane
    tasks: Sequence[tuple[int, UUID]]


@dataclass(kw_only=True, slots=True)
class Room:
    """What the limits still allow; `choose` takes from it. Counts are of tasks that are out or running."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    tokens: dict[tuple[str, str], float] = field(default_factory=dict)

    def obstacle(self, lane: Lane, applied: Iterable[Applied]) -> Applied | None:
        """The limit that stops a lane now, if any does."""
        return next((each for each in applied if self._stops(lane, each)), None)

    def _stops(self, lane: Lane, applied: Applied) -> bool:
        limit = applied.limit
        if limit.max_running is not None and self.counts[applied.place] >= limit.max_running:
            return True
        if limit.max_hints is not None and self.pairs[lane.owner_id, lane.type] >= limit.max_hints:
            return True
        return limit.rate is not None and self.tokens.get(applied.place, limit.rate.capacity) < 1

    def take(self, lane: Lane, applied: Iterable[Applied]) -> None:
        """One of the lane goes."""
        self.pairs[lane.owner_id, lane.type] += 1
        for each in applied:
            self.counts[each.place] += 1
            if each.limit.rate is not None:
                self.tokens[each.place] = self.tokens.get(each.place, each.limit.rate.capacity) - 1


def refilled(tokens: float, *, since: datetime, now: datetime, per_second: float, capacity: float) -> float:
    """What a bucket holds now."""
    return min(capacity, tokens + max(0.0, (now - since).total_seconds()) * per_second)


class StrideScheduler:
    """Weighted turns of owners (stride scheduling): who was served least for its weight goes next.

    It remembers across rounds, so that a resource with one free place at a time is shared by weight, too.
    """

    def __init__(self) -> None:
        self._served: dict[UUID, float] = {}

    def choose(self, candidates: Sequence[Candidates], limits: Limits, room: Room, *, most: int) -> list[UUID]:
        """The tasks that may go now, at most `most`, best first. Takes what they use from `room`."""
        chosen: list[UUID] = []
        for rank in sorted({each.lane.rank for each in candidates}):
            waiting = [_Waiting(each, limits) for each in candidates if each.lane.rank == rank]
            chosen += self._of_rank(waiting, limits, room, most - len(chosen))
        self._forget({each.lane.owner_id for each in candidates})
        return chosen

    def _of_rank(self, waiting: list["_Waiting"], limits: Limits, room: Room, most: int) -> list[UUID]:
        chosen: list[UUID] = []
        lanes: dict[UUID, list[_Waiting]] = {}
        for each in waiting:
            lanes.setdefault(each.lane.owner_id, []).append(each)
        newest = min((self._served[owner] for owner in lanes if owner in self._served), default=0.0)
        for owner in lanes:
            self._served.setdefault(owner, newest)
        while lanes and len(chosen) < most:
            owner = min(lanes, key=lambda each: (self._served[each], each))
            task = _next_of(lanes[owner], room)
            if task is None:
                del lanes[owner]
                continue
            chosen.append(task)
            self._served[owner] += 1 / limits.weight_of(owner)
        return chosen

    def _forget(self, present: set[UUID]) -> None:
        """Who has nothing waiting gathers no claim to be served first later on."""
        self._served = {owner: served for owner, served in self._served.items() if owner in present}


class _Waiting:
    """A lane while its tasks are handed out."""

    __slots__ = ("applied", "lane", "position", "tasks")

    def __init__(self, candidates: Candidates, limits: Limits) -> None:
        self.lane, self.tasks = candidates.lane, candidates.tasks
        self.applied = limits.of(candidates.lane)
        self.position = 0


def _next_of(lanes: list[_Waiting], room: Room) -> UUID | None:
    """The oldest task of an owner that no limit stops; lanes that are stopped or empty are taken out of the list."""
    while lanes:
        oldest = min(lanes, key=lambda each: each.tasks[each.position][0])
        if room.obstacle(oldest.lane, oldest.applied) is not None:
            lanes.remove(oldest)
            continue
        room.take(oldest.lane, oldest.applied)
        task = oldest.tasks[oldest.position][1]
        oldest.position += 1
        if oldest.position == len(oldest.tasks):
            lanes.remove(oldest)
        return task
    return None


def room_of(active: Iterable[tuple[Lane, int]], limits: Limits, tokens: Mapping[tuple[str, str], float]) -> Room:
    """What is left, given how many tasks of each lane are out or running."""
    room = Room(tokens=dict(tokens))
    for lane, count in active:
        room.pairs[lane.owner_id, lane.type] += count
        for applied in limits.of(lane):
            room.counts[applied.place] += count
    return room
