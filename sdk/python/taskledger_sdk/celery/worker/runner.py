"""Attempts in Celery's pool: how they begin, how they end, and how they are ended. Everything is the main thread's."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.app.base import Celery

from taskledger_sdk.celery.worker import signalling
from taskledger_sdk.celery.worker.attempts import Attempt, error_of
from taskledger_sdk.celery.worker.calls import Call
from taskledger_sdk.celery.worker.channel import Channel
from taskledger_sdk.celery.worker.options import WorkerOptions
from taskledger_sdk.celery.worker.pool import KILL_SECONDS, Children, Loop, is_ended
from taskledger_sdk.celery.worker.types import AdoptedType
from taskledger_sdk.client.work.attempt import WorkTask
from taskledger_sdk.client.work.messages import Ending

log = logging.getLogger("taskledger.celery")

EXITED = (SystemExit, KeyboardInterrupt)


class Runner:
    """The attempts of one worker. `on_over` is told how each ended, and the seconds that it took in a child."""

    def __init__(
        self,
        app: Celery,
        options: WorkerOptions,
        types: Mapping[str, AdoptedType],
        loop: Loop,
        *,
        sender: Any,
        on_over: Callable[[Ending, float | None], None],
    ) -> None:
        self._app, self._options, self._types, self._loop = app, options, types, loop
        self._sender, self._on_over = sender, on_over
        self.children = Children(app, options, loop)
        self.channel = Channel(self._told, forks=self.children.forks)
        self._attempts: dict[WorkTask, Attempt] = {}
        self._by_id: dict[str, WorkTask] = {}

    def begin(self, task: WorkTask) -> None:
        """Hand a task to a free child."""
        kind = self._types[task.type]
        attempt = Attempt(self._app, task, kind, self._call(task, kind))
        self._attempts[task] = attempt
        self._by_id[attempt.call.task_id] = task
        signalling.received(self._sender, attempt)
        log.debug("task %s[%s] goes to a child", kind.task, task.id)
        attempt.result = self.children.run(
            attempt.call,
            limits=attempt.limits(self._options.time_limit, self._options.soft_time_limit),
            accept_callback=lambda pid, _at: self._accepted(attempt, pid),
            callback=lambda value: self._loop.soon(lambda: self._returned(attempt, value)),
            error_callback=lambda info: self._loop.soon(lambda: self._raised(attempt, info)),
            timeout_callback=lambda soft, timeout: self._overran(attempt, soft=soft, seconds=timeout),
        )

    def _call(self, task: WorkTask, kind: AdoptedType) -> Call:
        return Call(
            task_id=str(task.id),
            lease=task.lease,
            name=kind.task,
            payload=task.payload,
            attempt=task.attempt,
            kept=task.last_checkpoint,
            hostname=self._options.hostname,
            queue=kind.queue,
            slot=self.channel.take_slot(),
        )

    def _accepted(self, attempt: Attempt, pid: int) -> None:
        attempt.pid, attempt.began_at = pid, time.monotonic()
        if attempt.is_to_end:
            self._loop.soon(lambda: self._end_attempt(attempt))

    def _returned(self, attempt: Attempt, value: Any) -> None:
        if not is_ended(value):
            self._raised(attempt, value)
            return
        if value.note is not None:
            attempt.work.keep_progress(value.fraction, value.note)
        self._over(attempt, Ending(attempt.work, value.content), time.monotonic() - attempt.began_at)

    def _raised(self, attempt: Attempt, info: Any) -> None:
        if attempt.is_over:
            return
        error = error_of(info)
        is_lost = isinstance(error, WorkerLostError | MemoryError)
        if isinstance(error, Terminated) or (attempt.is_to_end and (is_lost or isinstance(error, EXITED))):
            self._was_ended(attempt)
        elif is_lost:
            self._was_lost(attempt, error if isinstance(error, WorkerLostError) else WorkerLostError(repr(error)))
        elif isinstance(error, EXITED):  # by the task itself, which would do so again
            self._failed(attempt, WorkerLostError(f"the task ended its process: {error!r}"))
        elif isinstance(error, TimeLimitExceeded):
            self._failed(attempt, error)
        else:
            self._over(attempt, attempt.failed(error, permanent=True))

    def _failed(self, attempt: Attempt, error: Exception) -> None:
        """For good; its child could not send the signal."""
        signalling.failed(self._app, attempt, error)
        self._over(attempt, attempt.failed(error, permanent=True))

    def _was_lost(self, attempt: Attempt, error: Exception) -> None:
        log.warning("%r: its child was lost: %s", attempt.work, error)
        if attempt.kind.lost_fails:
            self._failed(attempt, error)
        else:
            self._over(attempt, attempt.failed(error, permanent=False))

    def _was_ended(self, attempt: Attempt) -> None:
        """Its child was ended by this worker: the task was cancelled, or the worker stops coldly."""
        if attempt.work.stop is not None:
            signalling.revoked(attempt, number=signal.SIGTERM)
            self._over(attempt, attempt.ending("release"))
        elif attempt.kind.lost_fails:
            self._was_lost(attempt, WorkerLostError("the worker was stopped while it ran"))
        else:
            self._over(attempt, attempt.ending("release"))

    def _overran(self, attempt: Attempt, *, soft: bool, seconds: float) -> None:
        log.warning("%s limit of %s s exceeded by %r", "soft" if soft else "hard", seconds, attempt.work)

    def _over(self, attempt: Attempt, ending: Ending, seconds: float | None = None) -> None:
        if attempt.is_over:
            return
        attempt.is_over = True
        self.channel.free_slot(attempt.call.slot)
        self._attempts.pop(attempt.work, None)
        self._by_id.pop(attempt.call.task_id, None)
        self._on_over(ending, seconds)

    def _told(self, task_id: str, note: str, fraction: float) -> None:
        task = self._by_id.get(task_id)
        if task is not None:
            task.keep_progress(fraction, note)

    def end_task(self, task: WorkTask) -> None:
        """Its task was cancelled, or its lease is lost."""
        attempt = self._attempts.get(task)
        if attempt is None:
            return
        self.channel.ask_to_stop(attempt.call.slot)
        if attempt.is_abortable:
            self._loop.later(KILL_SECONDS, self._end_attempt, attempt)
        else:
            self._end_attempt(attempt)

    def end_all(self) -> None:
        """End what runs: the worker stops coldly."""
        for attempt in list(self._attempts.values()):
            self._end_attempt(attempt)

    def _end_attempt(self, attempt: Attempt, number: int = signal.SIGTERM) -> None:
        """End the child of an attempt; threads cannot be ended, and are only asked."""
        attempt.is_to_end = True
        if attempt.is_over or not self.children.forks or attempt.pid is None:
            return
        if not attempt.was_signalled or number == signal.SIGKILL:
            attempt.was_signalled = True
            self.children.end(attempt.pid, attempt.result, number)
            if number != signal.SIGKILL:
                self._loop.later(KILL_SECONDS, self._end_attempt, attempt, signal.SIGKILL)
