"""Causes on the way to a worker: pauses, workers, limits, the dispatcher, lost hints, the queue. Pure."""

from datetime import timedelta
from typing import Any

from app.models import Status
from app.services.dispatch.hints import SLACK
from app.services.dispatch.queues import Paused
from app.services.explain import admission_causes
from app.services.explain.answers import Answer, moment, span
from app.services.explain.evidence import LATE, Evidence, NamedRules, answer
from app.services.lifecycle import OnHold, on_hold
from app.services.remote.queues import is_remote

MAX_WORKERS = 20  # that are named


def _pause_told(pause: Paused) -> dict[str, Any]:
    return {"kind": pause.kind, "name": pause.name, "paused_at": moment(pause.paused_at),
            "paused_by": pause.paused_by, "reason": pause.reason}  # fmt: skip


def _paused(pause: Paused, path: str) -> Answer:
    by = pause.paused_by or "nobody known"
    why = f", saying: {pause.reason}" if pause.reason else ""
    return answer(
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
    return answer(
        f"It is due, and no dispatcher has looked since {moment(last)}{because}." if last else
        f"It is due, and no dispatcher has ever looked{because}.",
        evidence={"due_at": moment(evidence.task.due_at), "dispatcher_last_success_at": moment(last),
                  "dispatcher_last_error": seen.last_error if seen else None},
        fix="Start a dispatcher: celery -A tasks beat. If one runs, its log says what keeps it from the broker.",
    )  # fmt: skip


def _no_live_worker(evidence: Evidence) -> Answer | None:
    if evidence.workers:
        return None
    start = _claiming(evidence.task.type) if is_remote(evidence.task.queue) else "celery -A tasks worker"
    return answer(
        "No worker is alive.",
        evidence={"queue": evidence.task.queue, "live_workers": 0},
        fix=f"Start one: {start}. GET /api/v1/workers shows when the last ones were seen.",
    )


def _claiming(type_name: str) -> str:
    return f"a program that claims tasks of the type {type_name}, by POST /api/v1/work/claim"


def _no_worker_takes_queue(evidence: Evidence) -> Answer | None:
    if evidence.taking:
        return None
    queue = evidence.task.queue
    start = _claiming(evidence.task.type) if is_remote(queue) else f"celery -A tasks worker --queues {queue}"
    return answer(
        f"No live worker takes tasks from the queue {queue}.",
        evidence={"queue": queue, "live_workers": {each.node: list(each.queues) for each in evidence.workers}},
        fix=f"Start a worker that does: {start}.",
    )


def _no_worker_knows_type(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if any(task.type in each.types for each in evidence.taking):
        return None
    return answer(
        f"No live worker of the queue {task.queue} knows the type {task.type}.",
        evidence={"type": task.type, "queue": task.queue,
                  "live_workers": {each.node: each.version for each in evidence.taking}},
        fix=f"Start workers of a release that has {task.type}, or restart those that were started before it was added.",
    )  # fmt: skip


def _needs_newer_worker(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if on_hold(task) is not OnHold.OTHER_SCHEMA:
        return None
    schema = task.schema_hash
    takers = [each.node for each in evidence.workers if each.takes(task.type, schema)]
    which = f"one that takes payloads of schema {schema}"
    told = (
        f"{', '.join(takers)} is one; its next hint goes out at {moment(task.due_at)}"
        if takers
        else "none that is alive does"
    )
    return answer(
        f"It needs a newer worker, {which}: {told}.",
        evidence={
            "type": task.type,
            "schema_hash": schema,
            "live_workers": {each.node: each.types.get(task.type) for each in evidence.taking},
            "refused_by": list(task.schema_refusals or ()),
            "due_at": moment(task.due_at),
        },
        next_at=task.due_at if takers else None,
        fix="Nothing, while a release is under way: workers of the release that accepted it will run it."
        if takers
        else f"Start workers of the release that accepted it, or of one that has an upgrade from {schema} for it, "
        "or cancel it, and replay it with another payload.",
    )


def _waiting_for_dispatch(evidence: Evidence) -> Answer | None:
    task, seen = evidence.task, evidence.dispatcher
    is_due = task.status == Status.PENDING or evidence.overdue > LATE
    if task.dispatched_at is not None or not is_due:
        return None
    error = seen.last_error if seen else None
    because = f"; the last try failed: {error}" if error else ""
    return answer(
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
    return answer(
        f"Its hint of {moment(task.dispatched_at)} was lost: {why}. It is published again at {moment(task.due_at)}.",
        evidence={"dispatched_at": moment(task.dispatched_at), "passed_at": moment(evidence.passed_at),
                  "workers_idle": are_idle, "due_at": moment(task.due_at)},
        next_at=task.due_at,
        fix="Nothing: lost hints cost seconds, no task. If it happens often, look at who purges the broker's queues.",
    )  # fmt: skip


def _workers_busy(evidence: Evidence) -> Answer | None:
    line, taking = evidence.line, evidence.taking
    if line is None or line.started_lately > 0 or not taking or any(each.free != 0 for each in taking):
        return None
    early = sum(each.acknowledged_early or 0 for each in taking)
    long = f", {early} of them by tasks that take long" if early else ""
    return answer(
        f"All {line.concurrency} places of the workers of the queue {evidence.task.queue} are taken{long}. They take "
        "no further task until one is free.",
        evidence={
            "workers": {each.node: {"concurrency": each.concurrency, "free": each.free,
                                    "acknowledged_early": each.acknowledged_early} for each in taking[:MAX_WORKERS]},
            "position": line.ahead + 1,
            "position_is_exact": line.is_exact,
        },
        fix="Nothing, or start more workers; long tasks beside short ones are best in a queue of their own.",
    )  # fmt: skip


def _in_line(evidence: Evidence) -> Answer:
    task, line = evidence.task, evidence.line
    if line is None:
        return answer(f"It waits in the queue {task.queue}.", evidence={"queue": task.queue})
    seconds = line.seconds
    about = "" if line.is_exact else "about "
    wait = "" if seconds is None else f", and starts in about {span(seconds)}" if seconds else ", and starts now"
    speed = line.started_per_second
    return answer(
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


DUE: NamedRules = (
    ("type_paused", _type_paused),
    ("queue_paused", _queue_paused),
    ("no_live_worker", _no_live_worker),
    ("no_worker_takes_queue", _no_worker_takes_queue),
    ("no_worker_knows_type", _no_worker_knows_type),
    ("needs_newer_worker", _needs_newer_worker),
    ("circuit_open", lambda found: admission_causes.circuit_open(found.obstacle, found.task.status)),
    ("limit_reached", lambda found: admission_causes.limit_reached(found.obstacle, found.task.status)),
    ("rate_reached", lambda found: admission_causes.rate_reached(found.obstacle, found.task.status)),
    ("blocked_by_order", lambda found: admission_causes.blocked_by_order(found.obstacle, found.task.status)),
    ("dispatcher_away", _dispatcher_away),
    ("waiting_for_its_turn", lambda found: admission_causes.waiting_for_its_turn(found.obstacle, found.task.status)),
    ("waiting_for_dispatch", _waiting_for_dispatch),
    ("message_lost", _message_lost),
    ("workers_busy", _workers_busy),
    ("in_line", _in_line),
)
