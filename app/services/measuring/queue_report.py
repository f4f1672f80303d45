"""Queues in figures: what waits, how fast it goes, whether that is too much, how many handlers it takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.database import Session
from app.models import Status
from app.services.dispatch import queues, workers
from app.services.dispatch.queues import Paused
from app.services.dispatch.workers import WorkerSeen
from app.services.measuring import levels
from app.services.measuring.levels import Flow, Levels


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What waits and runs of a queue, or of one type in it, and how fast."""

    waiting: int
    """PENDING."""
    running: int
    scheduled: int
    """SCHEDULED or RETRYING: not due yet."""
    suspended: int
    """WAITING for a moment, a signal or their children: they need no worker. Counted once a minute."""
    held: int
    """Of those that wait: without a hint."""
    oldest_seconds: float | None
    """How long the first of those that wait has waited."""
    rate_in: float
    """Tasks a second that were submitted, over the last minutes."""
    rate_out: float
    """Tasks a second that were finished, over the last minutes."""
    drain_seconds: float | None
    """How long until nothing waits, if it goes on like this; None: it does not get shorter, or nothing was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeFigures:
    """One type in a queue."""

    type: str
    figures: Figures
    known_by_workers: int
    """Live workers of the queue that know it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFigures:
    """One queue."""

    name: str
    figures: Figures
    types: Sequence[TypeFigures]
    workers: int
    concurrency: int
    """Handlers that its live workers run at once."""
    paused: Paused | None


def read(session: Session, *, now: datetime) -> tuple[Levels, list[QueueFigures]]:
    """The newest measurement, and every queue in figures by it."""
    snapshot = levels.read(session, now=now)
    live, paused = workers.alive(session, now=now), queues.pauses(session)
    return snapshot, queue_figures(snapshot, live, paused, homes=queues.homes(), now=now)


def queue_figures(
    snapshot: Levels, live: Sequence[WorkerSeen], paused: Sequence[Paused], *, homes: Mapping[str, str], now: datetime
) -> list[QueueFigures]:
    """Every queue that a type uses, a task waits in, a worker serves or somebody has paused.

    `homes`: the queue of each type; what flows of a type is counted there.
    """
    pauses = {each.name: each for each in paused if each.kind == "queue"}
    served = {name for each in live for name in each.queues}
    names = {*homes.values(), *(each.queue for each in snapshot.levels), *served, *pauses, "tasks"}
    moving = {name: homes[name] for name in snapshot.flows if name in homes}
    return [_queue(name, snapshot, live, pauses.get(name), moving, now) for name in sorted(names)]


def _queue(
    name: str,
    snapshot: Levels,
    live: Sequence[WorkerSeen],
    paused: Paused | None,
    moving: Mapping[str, str],
    now: datetime,
) -> QueueFigures:
    serving = [each for each in live if name in each.queues]
    at_home = {type_ for type_, home in moving.items() if home == name}
    types = sorted({each.type for each in snapshot.levels if each.queue == name} | at_home)
    return QueueFigures(
        name=name,
        figures=_figures(snapshot, snapshot.flow_of(types), now, queue=name),
        types=[
            TypeFigures(
                type=type_,
                figures=_figures(snapshot, snapshot.flow_of([type_]), now, queue=name, type=type_),
                known_by_workers=sum(type_ in each.types for each in serving),
            )
            for type_ in types
        ],
        workers=len(serving),
        concurrency=sum(each.concurrency for each in serving),
        paused=paused,
    )


def _figures(snapshot: Levels, flow: Flow, now: datetime, **which: str) -> Figures:
    pending = snapshot.having(Status.PENDING, **which)
    waiting, since = sum(each.tasks for each in pending), snapshot.waiting_since(**which)
    shrinking = flow.finished - flow.submitted
    return Figures(
        waiting=waiting,
        running=snapshot.count(Status.PROCESSING, **which),
        scheduled=snapshot.count(Status.SCHEDULED, **which) + snapshot.count(Status.RETRYING, **which),
        suspended=snapshot.count(Status.WAITING, **which),
        held=sum(each.held for each in pending),
        oldest_seconds=None if since is None else max(0.0, (now - since).total_seconds()),
        rate_in=flow.submitted,
        rate_out=flow.finished,
        drain_seconds=0.0 if not waiting else waiting / shrinking if shrinking > 0 else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """From settings: more than this is too much."""

    waiting: int
    oldest_seconds: int
    drain_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a queue is overloaded."""

    queue: str
    what: str
    value: float | None
    threshold: float | None
    summary: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether it is too much, and why."""

    overloaded: bool
    reasons: Sequence[Reason] = field(default_factory=list)


def verdict(queues: Sequence[QueueFigures], limits: Thresholds) -> Verdict:
    """Overloaded is whatever exceeds a threshold, or waits where no worker is; a paused queue waits on purpose."""
    reasons = [reason for queue in queues if queue.paused is None for reason in _reasons(queue, limits)]
    return Verdict(overloaded=bool(reasons), reasons=reasons)


def _reasons(queue: QueueFigures, limits: Thresholds) -> list[Reason]:
    seen, found = queue.figures, []
    waits = seen.waiting - seen.held  # what is held waits for a pause to end, or for the broker

    def reason(what: str, value: float | None, threshold: float | None, summary: str) -> None:
        found.append(Reason(queue=queue.name, what=what, value=value, threshold=threshold, summary=summary))

    if seen.waiting > limits.waiting:
        reason("waiting", seen.waiting, limits.waiting, f"{seen.waiting} tasks wait in {queue.name}")
    if waits and seen.oldest_seconds is not None and seen.oldest_seconds > limits.oldest_seconds:
        reason("oldest_seconds", seen.oldest_seconds, limits.oldest_seconds,
               f"the first task in {queue.name} has waited for {seen.oldest_seconds:.0f} s")  # fmt: skip
    if seen.drain_seconds is not None and seen.drain_seconds > limits.drain_seconds:
        reason("drain_seconds", seen.drain_seconds, limits.drain_seconds,
               f"{queue.name} needs {seen.drain_seconds:.0f} s until nothing waits")  # fmt: skip
    if seen.waiting and not queue.workers:
        reason("workers", 0, 1, f"{seen.waiting} tasks wait in {queue.name}, and no live worker takes it")
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """How many handlers a queue needs at once."""

    queue: str
    waiting: int
    running: int
    concurrency: int
    workers: int
    desired_concurrency: int
    reason: str


def scaling(queue: QueueFigures, *, drain_seconds: int, concurrency_per_worker: int) -> Scaling:
    """Enough to keep up with what comes in, and to work off what waits within `drain_seconds`; none when all is quiet.

    What one handler does a second is measured on those that run. Before anything was measured, each waiting task asks
    for a handler, up to twice of what there is (and one worker's at least).
    """
    seen = queue.figures
    desired, reason = 0, "nothing waits or runs"
    if queue.paused is not None:
        desired, reason = seen.running, "the queue is paused: only what runs needs a handler"
    elif seen.rate_out > 0 and seen.running:
        each = seen.rate_out / seen.running
        desired = math.ceil((seen.rate_in + seen.waiting / drain_seconds) / each)
        desired = max(desired, min(seen.running + seen.waiting, 1))
        reason = (
            f"{seen.rate_in:.2f} tasks/s come in and {seen.waiting} wait; one handler does {each:.2f}/s, and all of it "
            f"shall be done within {drain_seconds} s"
        )
    elif seen.waiting or seen.running:
        most = max(2 * queue.concurrency, concurrency_per_worker)
        desired = seen.running + min(seen.waiting, max(0, most - seen.running))
        reason = "nothing was measured yet: a handler for each task, up to twice of what there is"
    return Scaling(
        queue=queue.name,
        waiting=seen.waiting,
        running=seen.running,
        concurrency=queue.concurrency,
        workers=queue.workers,
        desired_concurrency=desired,
        reason=reason,
    )
