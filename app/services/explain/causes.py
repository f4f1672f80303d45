"""From evidence to one cause: rules in the order in which they are asked; the first that holds is the answer. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.models import Status, TaskRecord
from app.services.admission import Obstacle
from app.services.dispatch.hints import SLACK
from app.services.dispatch.queues import Paused
from app.services.dispatch.workers import ALIVE_FOR, LOST, WorkerSeen
from app.services.explain import sharing
from app.services.explain.answers import Answer, moment, span
from app.services.measuring.readiness import LATEST_LOOK

# So long a task may be past due before it counts as late: the dispatcher looks five times a second.
LATE = timedelta(seconds=3)


@dataclass(frozen=True, kw_only=True)
class DispatcherSeen:
    """When the duty that dispatches last succeeded, and what it failed with since."""

    last_success_at: datetime | None
    last_error: str | None

    def is_away(self, now: datetime) -> bool:
        """Whether nobody has dispatched lately."""
        return self.last_success_at is None or now - self.last_success_at > LATEST_LOOK


@dataclass(frozen=True, kw_only=True)
class Line:
    """Where a PENDING task stands in its queue."""

    ahead: int
    is_exact: bool
    started_per_second: float
    """Measured over the last minutes; 0: not known, or nothing was started."""
    started_lately: float
    """The same over the last seconds."""
    concurrency: int
    """How many handlers the live workers of the queue run at once."""
    busy: int

    @property
    def seconds(self) -> float | None:
        """An estimate of the wait, from what was measured; None when nothing was."""
        if self.ahead < self.concurrency - self.busy:
            return 0.0
        return (self.ahead + 1) / self.started_per_second if self.started_per_second > 0 else None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the rules look at."""

    task: TaskRecord
    now: datetime
    paused_type: Paused | None = None
    paused_queue: Paused | None = None
    workers: Sequence[WorkerSeen] = ()
    """Those that are alive."""
    holder: WorkerSeen | None = None
    """Who has the lease of a PROCESSING task."""
    dispatcher: DispatcherSeen | None = None
    passed_at: datetime | None = None
    """The newest dispatched_at that was claimed from the same queue and priority."""
    line: Line | None = None
    obstacle: Obstacle | None = None
    """What a task that is held waits for."""

    @property
    def taking(self) -> list[WorkerSeen]:
        """The live workers that take from the task's queue."""
        return [each for each in self.workers if self.task.queue in each.queues]

    @property
    def overdue(self) -> timedelta:
        """How long ago it should have been looked at."""
        due_at = self.task.due_at
        return timedelta(0) if due_at is None else max(timedelta(0), self.now - due_at)


Rule = Callable[[Evidence], Answer | None]


def rank(evidence: Evidence) -> Answer:
    """The first cause that holds; the others that hold as well are named in its evidence.

    Only the rules of its status are asked: of a task that waits for nobody, nothing was looked at that others need.
    """
    task = evidence.task
    found = [(name, answer) for name, rule in _rules_of(task) if (answer := rule(evidence)) is not None]
    name, first = found[0]
    also = [other for other, _ in found[1:] if other not in LAST_WORDS]
    told = {**first.evidence, "also": also} if also else dict(first.evidence)
    return replace(first, cause=name, task_id=task.id, status=task.status, evidence=told)


def _answer(summary: str, **fields: Any) -> Answer:
    return Answer(cause="", summary=summary, **fields)


def _finished(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if not task.is_finished:
        return None
    told: dict[str, Any] = {"finished_at": moment(task.finished_at), "attempt": task.attempt, "reason": task.reason}
    if task.status == Status.COMPLETED:
        return _answer(f"It has finished: COMPLETED at {moment(task.finished_at)}.", evidence=told)
    if task.status == Status.CANCELLED:
        because = f": {task.reason}" if task.reason else ""
        return _answer(
            f"It has finished: CANCELLED at {moment(task.finished_at)}{because}.",
            evidence={**told, "cancel_receipt": task.cancel_receipt},
            fix=f"To run it after all: POST /api/v1/tasks/{task.id}/retry.",
        )
    error = {name: (task.error or {}).get(name) for name in ("type", "message")}
    return _answer(
        f"It has finished: FAILED in attempt {task.attempt} with {error['type']}: {error['message']}.",
        evidence={**told, "error": error},
        fix=f"Remove the cause, then POST /api/v1/tasks/{task.id}/retry; GET /api/v1/dead-letters/groups shows how "
        "many failed the same way.",
    )


def _held_by(evidence: Evidence) -> dict[str, Any]:
    task, holder = evidence.task, evidence.holder
    return {
        "worker": task.leased_by,
        "pid": task.leased_pid,
        "attempt": task.attempt,
        "started_at": moment(task.started_at),
        "worker_last_seen_at": moment(holder.last_seen_at) if holder else None,
        "lease_until": moment(task.due_at),
        "progress": task.progress,
    }


def _worker_lost(evidence: Evidence) -> Answer | None:
    task, holder = evidence.task, evidence.holder
    if task.status != Status.PROCESSING or (holder is not None and holder.is_alive(evidence.now)):
        return None
    if holder is None or holder.state(evidence.now) == LOST:
        seen = "is not known any more" if holder is None else f"was last seen at {moment(holder.last_seen_at)}"
    else:
        seen = f"stopped at {moment(holder.stopped_at)}"
    return _answer(
        f"Its worker {task.leased_by} {seen}; the dispatcher moves the task on.",
        evidence=_held_by(evidence),
        next_at=None if holder is None else min(task.due_at or evidence.now, holder.last_seen_at + ALIVE_FOR),
        fix="Nothing, if a dispatcher runs: it rescues the task within 20 s of the worker's last sign of life.",
    )


def _stopping(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.PROCESSING or task.cancel_requested_at is None:
        return None
    return _answer(
        f"It was asked to stop at {moment(task.cancel_requested_at)}, and its worker has not confirmed that yet.",
        evidence={**_held_by(evidence), "cancel_requested_at": moment(task.cancel_requested_at)},
        next_at=task.due_at,
        fix="Nothing: the handler is stopped at its next safe place, and killed after the type's grace period.",
    )


def _running(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.PROCESSING:
        return None
    since = task.started_at or evidence.now
    seen = f", which was last seen at {moment(evidence.holder.last_seen_at)}" if evidence.holder else ""
    return _answer(
        f"It runs: attempt {task.attempt} is leased to {task.leased_by} since {moment(since)} "
        f"({span(evidence.now - since)}){seen}.",
        evidence=_held_by(evidence),
        fix=f"Nothing. To end it: POST /api/v1/tasks/{task.id}/cancel.",
    )


def _not_due(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.SCHEDULED or evidence.overdue > LATE:
        return None
    return _answer(
        f"It is not due: it starts at {moment(task.due_at)}.",
        evidence={"scheduled_at": moment(task.scheduled_at), "due_at": moment(task.due_at)},
        next_at=task.due_at,
        fix=f'To start it now: PATCH /api/v1/tasks/{task.id} with {{"scheduled_at": null}}.',
    )


def _retry_due(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.RETRYING or evidence.overdue > LATE:
        return None
    error = {name: (task.error or {}).get(name) for name in ("type", "message")}
    used = task.attempt - task.attempt_base
    return _answer(
        f"Attempt {task.attempt} failed with {error['type']}; the next one is due at {moment(task.due_at)} "
        f"(retry {used} of {task.max_retries}).",
        evidence={
            "due_at": moment(task.due_at),
            "error": error,
            "attempt": task.attempt,
            "retries_left": task.max_retries + 1 - used,
        },
        next_at=task.due_at,
        fix=f"Nothing, or remove the cause of the failure: GET /api/v1/tasks/{task.id}/attempts.",
    )


def _pause_told(pause: Paused) -> dict[str, Any]:
    return {"kind": pause.kind, "name": pause.name, "paused_at": moment(pause.paused_at),
            "paused_by": pause.paused_by, "reason": pause.reason}  # fmt: skip


def _paused(pause: Paused, path: str) -> Answer:
    by = pause.paused_by or "nobody known"
    why = f", saying: {pause.reason}" if pause.reason else ""
    return _answer(
        f"The {pause.kind} {pause.name} is paused since {moment(pause.paused_at)} by {by}{why}.",
        evidence={"pause": _pause_told(pause)},
        fix=f"Resume it: POST /api/v1/{path}/{pause.name}/resume.",
    )


def _type_paused(evidence: Evidence) -> Answer | None:
    return None if evidence.paused_type is None else _paused(evidence.paused_type, "task-types")


def _queue_paused(evidence: Evidence) -> Answer | None:
    return None if evidence.paused_queue is None else _paused(evidence.paused_queue, "queues")


def _dispatcher_away(evidence: Evidence) -> Answer | None:
    seen, is_held = evidence.dispatcher, evidence.task.dispatched_at is None
    is_late = evidence.overdue > LATE or evidence.obstacle is not None  # what is held for its turn is never overdue
    if not is_held or not is_late or (seen is not None and not seen.is_away(evidence.now)):
        return None
    last = None if seen is None else seen.last_success_at
    because = f": {seen.last_error}" if seen is not None and seen.last_error else ""
    return _answer(
        f"It is due, and no dispatcher has looked since {moment(last)}{because}." if last else
        f"It is due, and no dispatcher has ever looked{because}.",
        evidence={"due_at": moment(evidence.task.due_at), "dispatcher_last_success_at": moment(last),
                  "dispatcher_last_error": seen.last_error if seen else None},
        fix="Start a dispatcher: celery -A tasks beat. If one runs, its log says what keeps it from the broker.",
    )  # fmt: skip


def _no_live_worker(evidence: Evidence) -> Answer | None:
    if evidence.workers:
        return None
    return _answer(
        "No worker is alive.",
        evidence={"queue": evidence.task.queue, "live_workers": 0},
        fix="Start one: celery -A tasks worker. GET /api/v1/workers shows when the last ones were seen.",
    )


def _no_worker_takes_queue(evidence: Evidence) -> Answer | None:
    if evidence.taking:
        return None
    queue = evidence.task.queue
    return _answer(
        f"No live worker takes tasks from the queue {queue}.",
        evidence={"queue": queue, "live_workers": {each.node: list(each.queues) for each in evidence.workers}},
        fix=f"Start a worker that does: celery -A tasks worker --queues {queue}.",
    )


def _no_worker_knows_type(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if any(task.type in each.types for each in evidence.taking):
        return None
    return _answer(
        f"No live worker of the queue {task.queue} knows the type {task.type}.",
        evidence={"type": task.type, "queue": task.queue,
                  "live_workers": {each.node: each.version for each in evidence.taking}},
        fix=f"Start workers of a release that has {task.type}, or restart those that were started before it was added.",
    )  # fmt: skip


def _waiting_for_dispatch(evidence: Evidence) -> Answer | None:
    task, seen = evidence.task, evidence.dispatcher
    is_due = task.status == Status.PENDING or evidence.overdue > LATE
    if task.dispatched_at is not None or not is_due:
        return None
    error = seen.last_error if seen else None
    because = f"; the last try failed: {error}" if error else ""
    return _answer(
        f"It is due, and its hint has not been handed to the broker yet{because}.",
        evidence={"due_at": moment(task.due_at), "reason": task.reason, "dispatcher_last_error": error},
        next_at=task.due_at if evidence.overdue == timedelta(0) else None,
        fix="Make the broker reachable: GET /health/ready says what is wrong." if error
        else "Nothing: the dispatcher does so within a second.",
    )  # fmt: skip


def _message_lost(evidence: Evidence) -> Answer | None:
    task, line = evidence.task, evidence.line
    if task.dispatched_at is None:
        return None
    waited = evidence.now - task.dispatched_at
    was_passed = evidence.passed_at is not None and task.dispatched_at + SLACK < evidence.passed_at
    are_idle = line is not None and line.busy == 0 and line.concurrency > 0 and line.started_lately == 0
    if waited <= SLACK or not (was_passed or are_idle):
        return None
    why = (
        f"a later one was taken at {moment(evidence.passed_at)}" if was_passed else "the workers of its queue are idle"
    )
    return _answer(
        f"Its hint of {moment(task.dispatched_at)} was lost: {why}. It is published again at {moment(task.due_at)}.",
        evidence={"dispatched_at": moment(task.dispatched_at), "passed_at": moment(evidence.passed_at),
                  "workers_idle": are_idle, "due_at": moment(task.due_at)},
        next_at=task.due_at,
        fix="Nothing: lost hints cost seconds, no task. If it happens often, look at who purges the broker's queues.",
    )  # fmt: skip


def _in_line(evidence: Evidence) -> Answer:
    task, line = evidence.task, evidence.line
    if line is None:
        return _answer(f"It waits in the queue {task.queue}.", evidence={"queue": task.queue})
    seconds = line.seconds
    about = "" if line.is_exact else "about "
    wait = "" if seconds is None else f", and starts in about {span(seconds)}" if seconds else ", and starts now"
    speed = line.started_per_second
    return _answer(
        f"It is {about}number {line.ahead + 1:,} in line for the queue {task.queue}{wait}.",
        evidence={
            "queue": task.queue,
            "priority": task.priority,
            "position": line.ahead + 1,
            "position_is_exact": line.is_exact,
            "started_per_second": round(speed, 3),
            "estimated_wait_seconds": None if seconds is None else round(seconds, 1),
            "concurrency": line.concurrency,
            "slots": line.concurrency,
            "busy": line.busy,
            "dispatched_at": moment(task.dispatched_at),
        },
        next_at=None if seconds is None else evidence.now + timedelta(seconds=seconds),
        fix="Nothing, or start more workers; priority high goes first (PATCH the task).",
    )


OF_FINISHED: Sequence[tuple[str, Rule]] = (("finished", _finished),)
OF_RUNNING: Sequence[tuple[str, Rule]] = (
    ("worker_lost", _worker_lost),
    ("stopping", _stopping),
    ("running", _running),
)
OF_WAITING: Sequence[tuple[str, Rule]] = (
    ("not_due", _not_due),
    ("retry_due", _retry_due),
    ("type_paused", _type_paused),
    ("queue_paused", _queue_paused),
    ("no_live_worker", _no_live_worker),
    ("no_worker_takes_queue", _no_worker_takes_queue),
    ("no_worker_knows_type", _no_worker_knows_type),
    ("circuit_open", lambda found: sharing.circuit_open(found.obstacle, found.task.status)),
    ("limit_reached", lambda found: sharing.limit_reached(found.obstacle, found.task.status)),
    ("rate_reached", lambda found: sharing.rate_reached(found.obstacle, found.task.status)),
    ("blocked_by_order", lambda found: sharing.blocked_by_order(found.obstacle, found.task.status)),
    ("dispatcher_away", _dispatcher_away),
    ("waiting_for_its_turn", lambda found: sharing.waiting_for_its_turn(found.obstacle, found.task.status)),
    ("waiting_for_dispatch", _waiting_for_dispatch),
    ("message_lost", _message_lost),
    ("in_line", _in_line),
)
CAUSES = tuple(name for name, _ in (*OF_FINISHED, *OF_RUNNING, *OF_WAITING))
LAST_WORDS = frozenset({"running", "in_line"})  # what is said where nothing is in the way: true of no other answer


def _rules_of(task: TaskRecord) -> Sequence[tuple[str, Rule]]:
    if task.is_finished:
        return OF_FINISHED
    return OF_RUNNING if task.status == Status.PROCESSING else OF_WAITING
