"""What Celery's results are made of, from tasks and runs of the ledger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import states

from taskledger_sdk.celery import ids
from taskledger_sdk.celery.payloads import Failure, Note, decode, exception_parts, read_note
from taskledger_sdk.client import Run, Step, Task, TaskError

ABORTED = "ABORTED"
STATES = {
    "SCHEDULED": states.PENDING,
    "PENDING": states.PENDING,
    "WAITING": states.STARTED,
    "PROCESSING": states.PENDING,
    "RETRYING": states.RETRY,
    "COMPLETED": states.SUCCESS,
    "FAILED": states.FAILURE,
    "CANCELLED": states.REVOKED,
}
BY_LEDGER = {
    "WorkerLost": "billiard.exceptions.WorkerLostError",
    "TimeLimitExceeded": "billiard.exceptions.TimeLimitExceeded",
}
"""What the ledger itself calls the end of an attempt, and what Celery raises for it."""
EXPIRED = "celery.exceptions.TaskRevokedError"
REVOKED = {"exc_type": "TaskRevokedError", "exc_module": "celery.exceptions"}

Meta = dict[str, Any]


def unknown(task_id: str) -> Meta:
    """Of an id that the ledger does not have: as in Celery, nothing is known of it."""
    return _meta(task_id, states.PENDING)


def expired(task_id: str) -> Meta:
    """Of a call that had expired before it was made."""
    return _meta(task_id, states.REVOKED, revoked("expired"))


def of_task(task_id: str, task: Task, *, children: list[Any] | None = None) -> Meta:
    """Of a task."""
    note = read_note((task.progress or {}).get("message"))
    state = states.REVOKED if _is_expired_step(task) else STATES.get(task.status, task.status)
    result: Any = None
    if task.status == "COMPLETED":
        result = decode(task.result)
    elif task.status in ("FAILED", "RETRYING") and task.error is not None:
        result = _exception(task.error)
    elif task.status == "CANCELLED":
        result = revoked(task.reason)
    elif task.status == "PROCESSING":
        state, result = _while_it_runs(task, note)
    payload = task.payload if isinstance(task.payload, Mapping) else {}
    meta = _meta(task_id, state, result)
    meta |= {
        "traceback": task.error.traceback if task.error is not None else None,
        "children": [*(note.children or ()), *(children or ())],
        "date_done": task.finished_at.isoformat() if task.finished_at else None,
        "name": task.type,
        "args": decode(payload.get("args")),
        "kwargs": decode(payload.get("kwargs")),
        "retries": max(0, task.attempt - 1),
        "queue": task.queue,
    }
    return meta


def _is_expired_step(task: Task) -> bool:
    """Whether its worker found that it had expired: the ledger itself knows an expiry of single tasks only."""
    return task.status == "FAILED" and task.error is not None and task.error.type == EXPIRED


def _while_it_runs(task: Task, note: Note) -> tuple[str, Any]:
    """What was told last: Celery writes no state when a task begins to run, unless the task tracks that."""
    if task.raw.get("cancel_requested_at"):
        return ABORTED, note.meta
    if note.state is not None:
        return note.state, note.meta
    if task.error is not None and task.error.type not in BY_LEDGER:
        return states.RETRY, _exception(task.error)
    return states.PENDING, None


def of_waiting_step(task_id: str, run: Run, step: Step) -> Meta:
    """Of a step that has no task: its turn has not come, or will never come."""
    failed = None if run.status == "CANCELLED" else _failed_before(run, step)
    if failed is None or failed.error is None:
        if not run.is_finished:
            return _meta(task_id, states.PENDING)
        return _meta(task_id, states.REVOKED, revoked(run.reason))
    exception = _exception(failed.error)
    if len(_after(step)) > 1 and not _is_one_of_several(run, step):  # the body of a chord
        arguments = ", ".join(map(repr, exception["exc_message"]))
        said = f"Dependency {step_ids(run)[failed.key]} raised {exception['exc_type']}({arguments})"
        exception = {"exc_type": "ChordError", "exc_module": "celery.exceptions", "exc_message": [said]}
    return _meta(task_id, states.FAILURE, exception)


def _failed_before(run: Run, step: Step) -> Step | None:
    """The nearest failed step of those that a step waits for, at whatever distance."""
    steps = {each.key: each for each in run.steps}
    keys, seen = _after(step), set[str]()
    while keys:
        failed = next((steps[key] for key in keys if steps[key].error is not None), None)
        if failed is not None:
            return failed
        seen |= set(keys)
        keys = list(dict.fromkeys(before for key in keys for before in _after(steps[key]) if before not in seen))
    return None


def _is_one_of_several(run: Run, step: Step) -> bool:
    """Whether the body of its chord is a group: Celery fails such members with the error itself."""
    return sum(_after(each) == _after(step) for each in run.steps) > 1


def _after(step: Step) -> list[str]:
    return list(step.raw.get("after") or ())


def children_of(run: Run, step: Step) -> list[Any]:
    """The steps that follow on a step, as Celery writes results."""
    found = step_ids(run)
    return [[[found[each.key], None], None] for each in run.steps if step.key in _after(each)]


def step_ids(run: Run) -> dict[str, str]:
    """The id by which its caller knows each step."""
    return {each.key: str(ids.step_id(run.id, number_of(each))) for each in run.steps}


def number_of(step: Step) -> int:
    """The number of a step, which ends its key."""
    return int(step.key.rpartition("_")[2])


def step_with(run: Run, number: int) -> Step | None:
    """The step of a run with this number."""
    return next((each for each in run.steps if each.key.endswith(f"_{number}")), None)


def revoked(reason: str | None) -> Any:
    """The exception of a task that was cancelled."""
    return REVOKED | {"exc_message": [reason or "revoked"]}


def _exception(error: TaskError) -> Any:
    return exception_parts(Failure(type=BY_LEDGER.get(error.type, error.type), message=error.message))


def _meta(task_id: str, state: str, result: Any = None) -> Meta:
    return {"task_id": task_id, "status": state, "result": result, "traceback": None, "children": []}
