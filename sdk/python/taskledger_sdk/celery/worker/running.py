"""The attempt that a child runs: what the task tells while it runs, and how it ended."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from celery import signals, states
from celery.app.base import Celery
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.result import ResultBase

from taskledger_sdk.celery import payloads
from taskledger_sdk.celery.calls import aware_of
from taskledger_sdk.celery.payloads import CalledWith, Failure, Note
from taskledger_sdk.celery.worker import channel
from taskledger_sdk.celery.worker.calls import Call, Ended, Kept
from taskledger_sdk.client.options import as_json
from taskledger_sdk.errors import MAX_PAUSE_SECONDS

MAX_REQUEUES = 20  # of Reject(requeue=True); Celery has no limit, and such a task never ends
LONGEST_REQUEUE_SECONDS = 60.0
TRACEBACK_CHARACTERS = 50_000
NOT_RAISED = Failure(
    type="RetryNotRaised",
    message="it called self.retry(throw=False) and went on: write `raise self.retry(…)`, which ends the attempt",
)


class RunningAttempt:
    """One attempt in the hands of the tracer."""

    def __init__(self, app: Celery, task: Any, call: Call, called: CalledWith, id_: str) -> None:
        self.id = id_
        self._app, self._task, self._call, self._called = app, task, call, called
        self._kept = Kept.of(call.kept)
        self._result: Any = None
        self._retry: tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any]] | None = None
        self._note: Note | None = None
        self._children: list[Any] = []

    @property
    def passes_on(self) -> bool:
        """Whether a later task of its canvas takes the result, which is kept for it even where results are ignored."""
        return bool(self._called.options.get("passes_on"))

    def keep_result(self, result: Any) -> None:
        """The task returned this. Raises NotJson."""
        plain = cast(Any, result).as_tuple() if isinstance(result, ResultBase) else result
        self._result = payloads.encode(plain, "the result")
        self._children = self._children_now()

    def tell(self, state: str, meta: Any) -> None:
        """Keep a custom state; it goes out with the next heartbeat. Raises NotJson."""
        self._note = Note(state=state, meta=payloads.decode(payloads.encode(meta, "the meta of the state")))
        channel.tell(self._call.task_id, payloads.write_note(self._told()), payloads.fraction_of(meta))

    def ask_for_retry(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """`self.retry()` was called."""
        self._retry = (args or (), kwargs or {}, options)

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return channel.is_cancelled(self._call.slot)

    def _children_now(self) -> list[Any]:
        try:
            return [each.as_tuple() for each in self._task.request.children or ()]
        except (AttributeError, TypeError):  # what a task itself has put there
            return []

    def _told(self) -> Note:
        note = self._note or Note()
        return Note(state=note.state, meta=note.meta, children=self._children or self._children_now())

    def ended(self, info: Any, result_info: Any) -> Ended:
        """How it ended. `info`: what the tracer says, None for a success; `result_info`: its `ExceptionInfo`."""
        if info is None:
            return self._failed_for(NOT_RAISED) if self._retry else self._succeeded()
        error = info.retval
        if info.state == states.RETRY or isinstance(error, Retry):
            return self._retried(error, result_info)
        if isinstance(error, Reject):
            return self.rejected(error)
        if isinstance(error, Ignore):
            return self._end("complete", {"result": None, "reason": "ignored"})
        return self.failed(error, getattr(result_info, "traceback", None))

    def _succeeded(self) -> Ended:
        return self._end("complete", {"result": self._result})

    def failed(self, error: BaseException, traceback: Any = None) -> Ended:
        """Celery has decided that no retry follows."""
        failure = payloads.failure_of(error)
        said = {"type": failure.type, "message": failure.message, "permanent": True}
        text = traceback if isinstance(traceback, str) else "".join(tracebacks.format_exception(error))
        return self._end("fail", said | self._last_word() | {"traceback": _printable(text[-TRACEBACK_CHARACTERS:])})

    def is_over(self, request: Mapping[str, Any]) -> bool:
        """Whether it has expired: Celery's worker looks at that when it gets the message of an attempt."""
        return bool(request["expires"]) and datetime.fromisoformat(request["expires"]) < datetime.now(UTC)

    def expired(self, request: dict[str, Any]) -> Ended:
        """It is not run: to its caller it was revoked."""
        context = Context(request, args=self._called.args, kwargs=self._called.kwargs, called_directly=False)
        signals.task_revoked.send(sender=self._task, request=context, terminated=False, signum=None, expired=True)
        return self._failed_for(payloads.failure_of(TaskRevokedError("expired")))

    def _failed_for(self, failure: Failure) -> Ended:
        said = {"type": failure.type, "message": failure.message, "permanent": True}
        return self._end("fail", said | self._last_word())

    def _last_word(self) -> dict[str, Any]:
        """A replay begins without retries."""
        return {} if self._call.kept is None else {"checkpoint": {}}

    def _retried(self, error: Any, result_info: Any) -> Ended:
        args, kwargs, options = self._retry or (self._called.args, self._called.kwargs, {})
        cause = getattr(error, "exc", None) or error
        failure = payloads.failure_of(cause)
        when = _seconds_until(self._app, options.get("eta"), options.get("countdown"), getattr(error, "when", None))
        kept = Kept(retries=self._kept.retries + 1, requeues=self._kept.requeues, attempt=self._call.attempt)
        said = {
            "type": failure.type,
            "message": failure.message,
            "traceback": _printable(str(getattr(result_info, "traceback", ""))[-TRACEBACK_CHARACTERS:]),
            "retry_in": min(max(0.0, when), MAX_PAUSE_SECONDS),
            "checkpoint": kept.as_json(),
        }
        payload = payloads.encode_call(args, kwargs, self._called.options)
        if payload != self._call.payload:
            said["payload"] = payload
        return self._end("retry", said)

    def rejected(self, error: Any) -> Ended:
        """A dead letter, or given back: after a pause that grows, and not without end."""
        message = str(error.reason or "rejected")
        if not error.requeue:
            self._send_failure(error)
            return self._failed_for(payloads.failure_of(error, message))
        if self._kept.requeues >= MAX_REQUEUES:
            message = f"rejected {MAX_REQUEUES} times with requeue=True, last: {message}"
            return self._failed_for(payloads.failure_of(error, message))
        requeues = self._kept.requeues + 1
        kept = replace(self._kept, requeues=requeues)  # the same call again, and not one that the task asked for
        pause = min(2.0 ** (requeues - 1), LONGEST_REQUEUE_SECONDS)
        failure = payloads.failure_of(error, message)
        said = {"type": failure.type, "message": failure.message, "retry_in": pause, "checkpoint": kept.as_json()}
        return self._end("retry", said)

    def _send_failure(self, error: Any) -> None:
        """As Celery's worker does of a task that was rejected for good; its tracer says nothing of it."""
        signals.task_failure.send(
            sender=self._task,
            task_id=self.id,
            exception=error,
            args=self._called.args,
            kwargs=self._called.kwargs,
            traceback=error.__traceback__,
            einfo=None,
        )

    def _end(self, outcome: str, said: Mapping[str, Any]) -> Ended:
        told = self._told()
        note = payloads.write_note(told) if told.state is not None or told.children else None
        names = {"task_id": self._call.task_id, "lease": self._call.lease, "outcome": outcome}
        return Ended(outcome, as_json({**names, **said}), note, payloads.fraction_of(told.meta))


def _seconds_until(app: Celery, eta: Any, countdown: Any, when: Any) -> float:
    """From now on; `when` is that of the exception, which is an eta, a number of seconds or a timedelta."""
    moment = eta if eta is not None else when if countdown is None else countdown
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        return (aware_of(app, moment) - datetime.now(UTC)).total_seconds()
    if isinstance(moment, timedelta):
        return moment.total_seconds()
    return float(moment or 0)


def _printable(text: str) -> str:
    """Without what PostgreSQL cannot keep."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
