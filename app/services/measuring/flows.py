"""How fast tasks flow, from counts that were read a few seconds apart. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from app.models import FINISHED, Status
from app.services.lifecycle.transitions import UNREPLAYED
from app.services.measuring.levels import Flow, Total

LATELY = timedelta(seconds=10)
MINUTE = timedelta(minutes=1)
LONGEST = timedelta(minutes=5)
FEW = 10  # changes in a minute; with fewer, the longest window says more


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowSums:
    """Tasks of one type, ever."""

    submitted: int = 0
    started: int = 0
    finished: int = 0
    failed: int = 0

    def minus(self, other: "FlowSums") -> "FlowSums":
        """What has come since."""
        return FlowSums(
            **{each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(FlowSums)}
        )


def sums(totals: Iterable[Total]) -> dict[str, FlowSums]:
    """By type."""
    found: dict[str, FlowSums] = {}
    for each in totals:
        if UNREPLAYED.joins(each.previous_status, each.status):
            continue  # a dead letter again, as it was: nothing has ended
        have = found.get(each.type, FlowSums())
        found[each.type] = FlowSums(
            submitted=have.submitted + (each.n if each.previous_status is None else 0),
            started=have.started + (each.n if each.status == Status.PROCESSING else 0),
            finished=have.finished + (each.n if each.status in FINISHED else 0),
            failed=have.failed + (each.n if each.status == Status.FAILED else 0),
        )
    return found


class RateMeter:
    """Remembers the counts of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[tuple[datetime, Mapping[str, FlowSums]]] = deque()

    def read(self, totals: Mapping[str, FlowSums], now: datetime) -> dict[str, Flow]:
        """Take the counts of this moment; returns the flows up to it."""
        self._samples.append((now, totals))
        while now - self._samples[0][0] > LONGEST:
            self._samples.popleft()
        return {name: self._flow(name, now) for name in totals}

    def _flow(self, name: str, now: datetime) -> Flow:
        came, seconds = self._since(name, now - MINUTE, now)
        if came.started < FEW:
            came, seconds = self._since(name, now - LONGEST, now)
        lately, lately_seconds = self._since(name, now - LATELY, now)
        if not seconds:
            return Flow()
        return Flow(
            submitted=came.submitted / seconds,
            started=came.started / seconds,
            finished=came.finished / seconds,
            failed=came.failed / seconds,
            started_lately=lately.started / lately_seconds if lately_seconds else 0.0,
            seconds=seconds,
        )

    def _since(self, name: str, moment: datetime, now: datetime) -> tuple[FlowSums, float]:
        at, first = next(((at, sample) for at, sample in self._samples if at >= moment), self._samples[-1])
        newest = self._samples[-1][1]
        return newest[name].minus(first.get(name, FlowSums())), (now - at).total_seconds()
