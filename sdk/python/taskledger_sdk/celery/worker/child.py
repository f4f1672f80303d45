"""One attempt, in a child process or a thread: Celery's own tracer runs it."""

from __future__ import annotations

from typing import Any

from celery import current_app
from celery.app.trace import build_tracer
from celery.exceptions import Reject

from taskledger_sdk.celery import payloads
from taskledger_sdk.celery.current import running
from taskledger_sdk.celery.payloads import CalledWith
from taskledger_sdk.celery.worker.calls import Call, Ended, request_of
from taskledger_sdk.celery.worker.running import RunningAttempt


def run(call: Call) -> Ended:
    """Run an attempt. MemoryError, SystemExit and their like end the child, whose parent tells that it was lost."""
    app: Any = current_app
    app = app._get_current_object()
    task = app.tasks[call.name]
    try:
        called = payloads.decode_call(call.payload)
    except ValueError as error:  # it came by SQL, or from another language
        nothing = CalledWith(args=[], kwargs={}, options={})
        return RunningAttempt(app, task, call, nothing, call.task_id).failed(error)
    request = request_of(call, called, task)
    attempt = RunningAttempt(app, task, call, called, request["id"])
    if attempt.is_over(request):
        return attempt.expired(request)
    token = running.set(attempt)
    try:
        result, info, _, _ = _tracer(task, call.hostname)(request["id"], called.args, called.kwargs, request)
        return attempt.ended(info, result)
    except MemoryError:
        raise
    except Reject as error:  # raised by on_success or after_return
        return attempt.rejected(error)
    except Exception as error:  # noqa: BLE001  (whatever Celery's tracer lets out is how the attempt ended)
        return attempt.failed(error)
    finally:
        running.reset(token)


def _tracer(task: Any, hostname: str) -> Any:
    """The tracer of a task; the pool has made it in each child that it forked."""
    if task.__trace__ is None:
        task.__trace__ = build_tracer(task.name, task, task.app.loader, hostname, app=task.app)
    return task.__trace__
