"""Signals of Celery that its worker sends from the parent process: once each, with the real arguments."""

from __future__ import annotations

import logging
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery.app.trace import task_has_custom

from taskledger_sdk.celery.worker.attempts import Attempt, ReceivedRequest
from taskledger_sdk.celery.worker.backend import call_errbacks

log = logging.getLogger("taskledger.celery")


def received(sender: Any, attempt: Attempt) -> None:
    """A task was claimed, and goes to a child."""
    if signals.task_received.receivers:
        signals.task_received.send(sender=sender, request=ReceivedRequest(attempt))


def revoked(attempt: Attempt, *, number: int | None) -> None:
    """A task was stopped because somebody cancelled it."""
    signals.task_revoked.send(
        sender=attempt.task, request=attempt.context, terminated=number is not None, signum=number, expired=False
    )


def failed(app: Any, attempt: Attempt, error: Exception) -> None:
    """A task will not run again, and its child is not there to say so: as Celery's worker does at a hard limit."""
    try:
        raise error
    except type(error):
        info = ExceptionInfo()
    called = attempt.called
    try:
        attempt.task.on_failure(error, attempt.context.id, called.args, called.kwargs, info)
        if task_has_custom(attempt.task, "after_return"):
            attempt.task.after_return(states.FAILURE, error, attempt.context.id, called.args, called.kwargs, None)
        signals.task_failure.send(
            sender=attempt.task,
            task_id=attempt.context.id,
            exception=error,
            args=called.args,
            kwargs=called.kwargs,
            traceback=error.__traceback__,
            einfo=info,
        )
    except Exception:  # what the application does there must not stop the worker
        log.exception("on_failure of %s failed", attempt.kind.task)
    call_errbacks(app.backend, error, info.traceback, attempt.context)
