"""One attempt as the parent process sees it: from its claim to the word how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from billiard.einfo import ExceptionInfo
from celery.app.base import Celery
from celery.contrib.abortable import AbortableTask

from taskledger_sdk.celery import payloads
from taskledger_sdk.celery.payloads import CalledWith
from taskledger_sdk.celery.worker.calls import Call, context_of
from taskledger_sdk.celery.worker.types import AdoptedType
from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.work.attempt import WorkTask
from taskledger_sdk.client.work.messages import Ending


class Attempt:
    """It runs in a child, or will in a moment."""

    def __init__(self, app: Celery, work: WorkTask, kind: AdoptedType, call: Call) -> None:
        self.work, self.kind, self.call = work, kind, call
        self.task: Any = app.tasks[kind.task]
        self.result: Any = None
        """The pool's own."""
        self.pid: int | None = None
        self.began_at = time.monotonic()
        self.is_over = False
        self.is_to_end = False
        self.was_signalled = False
        self._called: CalledWith | None = None

    @property
    def called(self) -> CalledWith:
        """Arguments and options, which the parent reads only when a signal wants them."""
        if self._called is None:
            try:
                self._called = payloads.decode_call(self.call.payload)
            except ValueError:
                self._called = CalledWith(args=[], kwargs={}, options={})
        return self._called

    @property
    def context(self) -> Any:
        """As `self.request` has it."""
        return context_of(self.call, self.called, self.task)

    @property
    def is_abortable(self) -> bool:
        """Whether it asks by itself if it is to stop."""
        return isinstance(self.task, AbortableTask)

    def limits(self, hard: float | None, soft: float | None) -> tuple[float | None, float | None]:
        """Hard and soft limit: the call's, the task's, the worker's."""
        said = (self.call.payload or {}).get(payloads.OPTIONS) if isinstance(self.call.payload, Mapping) else None
        of_call = ((said or {}).get("timelimit") or (None, None))[:2]
        return (
            of_call[0] or self.task.time_limit or hard,
            of_call[1] or self.task.soft_time_limit or soft,
        )

    def ending(self, outcome: str, **said: Any) -> Ending:
        """How it ended, where its child could not say it."""
        names = {"task_id": self.call.task_id, "lease": self.call.lease, "outcome": outcome}
        return Ending(self.work, as_json({**names, **said}))

    def failed(self, error: BaseException, *, permanent: bool) -> Ending:
        """It failed with this; unless permanent, the ledger decides whether it runs again."""
        failure = payloads.failure_of(error)
        return self.ending("fail", type=failure.type, message=failure.message or failure.type, permanent=permanent)


def error_of(info: Any) -> BaseException:
    """What a pool reports of an attempt that did not return."""
    error: Any = info.exception if isinstance(info, ExceptionInfo) else info
    inner = getattr(error, "exc", None)  # an exception with the text of its traceback
    return inner if isinstance(inner, BaseException) else cast(BaseException, error)


class ReceivedRequest:
    """What `task_received` and `task_revoked` are sent with: the request, by the names that Celery's own has."""

    def __init__(self, attempt: Attempt) -> None:
        self.id = attempt.context.id
        self.task_id = self.id
        self.name = self.task_name = self.type = attempt.kind.task
        self.task = attempt.task
        self.args, self.kwargs = attempt.called.args, attempt.called.kwargs
        self.argsrepr, self.kwargsrepr = repr(self.args), repr(self.kwargs)
        self.hostname = attempt.call.hostname
        self.request_dict = attempt.context.__dict__
        self.delivery_info = attempt.context.delivery_info
        self.root_id, self.parent_id = attempt.context.root_id, attempt.context.parent_id
        self.group, self.group_index = attempt.context.group, attempt.context.group_index
        self.stamps, self.stamped_headers = attempt.context.stamps or {}, attempt.context.stamped_headers or []
        self.replaced_task_nesting = 0

    def __repr__(self) -> str:
        return f"<ReceivedRequest: {self.name}[{self.id}]>"
