"""Causes that the task's own row shows: it has finished, it runs, or it is not due. Pure."""

from typing import Any

from app.models import Status
from app.services.dispatch.workers import ALIVE_FOR, LOST
from app.services.explain.answers import Answer, moment, span
from app.services.explain.evidence import LATE, Evidence, NamedRules, answer


def _finished(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if not task.is_finished:
        return None
    outcome: dict[str, Any] = {"finished_at": moment(task.finished_at), "attempt": task.attempt, "reason": task.reason}
    if task.status == Status.COMPLETED:
        return answer(f"It has finished: COMPLETED at {moment(task.finished_at)}.", evidence=outcome)
    if task.status == Status.CANCELLED:
        because = f": {task.reason}" if task.reason else ""
        return answer(
            f"It has finished: CANCELLED at {moment(task.finished_at)}{because}.",
            evidence={**outcome, "cancel_receipt": task.cancel_receipt},
            fix=f"To run it after all: POST /api/v1/tasks/{task.id}/retry.",
        )
    error = {name: (task.error or {}).get(name) for name in ("type", "message")}
    return answer(
        f"It has finished: FAILED in attempt {task.attempt} with {error['type']}: {error['message']}.",
        evidence={**outcome, "error": error},
        fix=f"Remove the cause, then POST /api/v1/tasks/{task.id}/retry; GET /api/v1/dead-letters/groups shows how "
        "many failed the same way.",
    )


def _held_by(evidence: Evidence) -> dict[str, Any]:
    task, holder, kept = evidence.task, evidence.holder, evidence.checkpoint
    return {
        "worker": task.leased_by,
        "pid": task.leased_pid,
        "attempt": task.attempt,
        "started_at": moment(task.started_at),
        "worker_last_seen_at": moment(holder.last_seen_at) if holder else None,
        "lease_until": moment(task.due_at),
        "progress": task.progress,
        "checkpoint": kept and {"at": moment(kept.at), "bytes": kept.bytes},
    }


def _worker_lost(evidence: Evidence) -> Answer | None:
    task, holder = evidence.task, evidence.holder
    if task.status != Status.PROCESSING or (holder is not None and holder.is_alive(evidence.now)):
        return None
    if holder is None or holder.state(evidence.now) == LOST:
        seen = "is not known any more" if holder is None else f"was last seen at {moment(holder.last_seen_at)}"
    else:
        seen = f"stopped at {moment(holder.stopped_at)}"
    return answer(
        f"Its worker {task.leased_by} {seen}; the dispatcher moves the task on.",
        evidence=_held_by(evidence),
        next_at=None if holder is None else min(task.due_at or evidence.now, holder.last_seen_at + ALIVE_FOR),
        fix="Nothing, if a dispatcher runs: it rescues the task within 20 s of the worker's last sign of life.",
    )


def _stopping(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.PROCESSING or task.cancel_requested_at is None:
        return None
    return answer(
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
    return answer(
        f"It runs: attempt {task.attempt} is leased to {task.leased_by} since {moment(since)} "
        f"({span(evidence.now - since)}){seen}.",
        evidence=_held_by(evidence),
        fix=f"Nothing. To end it: POST /api/v1/tasks/{task.id}/cancel.",
    )


def _not_due(evidence: Evidence) -> Answer | None:
    task = evidence.task
    if task.status != Status.SCHEDULED or evidence.overdue > LATE:
        return None
    return answer(
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
    return answer(
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


FINISHED: NamedRules = (("finished", _finished),)
RUNNING: NamedRules = (("worker_lost", _worker_lost), ("stopping", _stopping), ("running", _running))
NOT_DUE: NamedRules = (("not_due", _not_due), ("retry_due", _retry_due))
