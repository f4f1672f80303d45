"""The result backend of an adopted application: it reads the ledger, and writes nothing that a worker does not tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import GroupResult

from taskledger_sdk.celery import ids, meta
from taskledger_sdk.celery.current import running
from taskledger_sdk.celery.errors import NotAdopted
from taskledger_sdk.celery.ledger import Ledger, ledger_of, reached
from taskledger_sdk.celery.meta import Meta
from taskledger_sdk.client import Conflict, NotFinished, NotFound, Run, Task

LONGEST_LOOK_SECONDS = 10.0
"""A wait looks at the parents of a chain as often as this, as Celery does with each interval."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
UNFINISHED = frozenset(("SCHEDULED", "PENDING", "PROCESSING", "RETRYING", "WAITING"))


class LedgerBackend(BaseBackend):
    """States and results of tasks and runs of the ledger."""

    app: Any
    _cache: Any
    persistent = True
    supports_autoexpire = True  # results are kept as long as their tasks are

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, serializer="json", accept=["json"], **options)
        self.thread_safe = True
        found = ledger_of(app)
        if found is None:
            raise NotAdopted("LedgerBackend is for applications that were given to adopt()")
        self._ledger: Ledger = found
        self._runs: dict[UUID, Run] = {}

    def as_uri(self, include_password: bool = False) -> str:
        """The address of the ledger, for the banner of a worker."""
        return f"taskledger+{self._ledger.settings.url or 'from the environment'}"

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> Meta:
        """The meta of a task that has ended. Raises celery.exceptions.TimeoutError."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        pause = SHORTEST_PAUSE
        while True:
            began = time.monotonic()
            found = self._look(task_id, min(LONGEST_LOOK_SECONDS, max(0.0, until - began)))
            if found["status"] in states.READY_STATES:
                return found
            if on_interval is not None:
                on_interval()
            left = until - time.monotonic()
            if left <= 0:
                raise CeleryTimeout("The operation timed out.")
            if time.monotonic() - began < pause:  # nothing of it is known that could be waited for
                time.sleep(min(pause, left))
                pause = min(LONGEST_PAUSE, 2 * pause)

    def get_many(self, task_ids: Any, timeout: float | None = None, **options: Any) -> Any:
        """Pairs of id and meta, as the tasks end. Raises celery.exceptions.TimeoutError."""
        until = None if timeout is None else time.monotonic() + timeout
        for id_ in list(task_ids):
            left = None if until is None else max(0.0, until - time.monotonic())
            yield id_, self.wait_for(id_, left, on_interval=options.get("on_interval"))

    def _get_task_meta_for(self, task_id: str) -> Meta:
        return self._look(task_id, 0.0)

    def task_result_exists(self, task_id: str) -> bool:
        """Whether the ledger has such a task, or the run has such a step."""
        step = ids.step_of(task_id)
        return (step is not None and self._ledger.get_run(step[0]) is not None) or self._find(task_id) is not None

    def _look(self, task_id: str, seconds: float) -> Meta:
        """What is known of it, within so many seconds once it has ended."""
        found: Meta = self.meta_from_decoded(self._read(task_id, seconds))
        return found

    def _read(self, task_id: str, seconds: float) -> Meta:
        step = ids.step_of(task_id)
        if step is not None:
            run = self._run(*step)
            if run is not None:
                return self._read_step(task_id, run, step[1], seconds)
        task = self._find(task_id)
        if task is None:
            return meta.expired(task_id) if self._ledger.was_forgone(task_id) else meta.unknown(task_id)
        return meta.of_task(task_id, self._awaited(task, seconds))

    def _read_step(self, task_id: str, run: Run, number: int, seconds: float) -> Meta:
        step = meta.step_with(run, number)
        if step is None:
            return meta.unknown(task_id)
        if step.task_id is None:
            known = meta.of_waiting_step(task_id, run, step)
            if known["status"] in states.READY_STATES:
                return known
            under_way = [each.task_id for each in run.steps if each.task_status in UNFINISHED and each.task_id]
            if seconds and under_way and not run.is_finished:
                self._wait(under_way[0], seconds)
            return known
        task = self._ledger.get(step.task_id)
        if task is None:
            return meta.unknown(task_id)
        return meta.of_task(task_id, self._awaited(task, seconds), children=meta.children_of(run, step))

    def _run(self, id_: UUID, number: int) -> Run | None:
        """A run, as it was when this step had a task already, or else as it is now."""
        known = self._runs.get(id_)
        step = None if known is None else meta.step_with(known, number)
        if known is not None and (known.is_finished or (step is not None and step.task_id is not None)):
            return known
        found = self._ledger.get_run(id_)
        if found is not None:
            if len(self._runs) > 100:
                self._runs.clear()
            self._runs[id_] = found
        return found

    def _find(self, task_id: str) -> Task | None:
        """By the id, or by the label that holds one that the ledger did not take, as of a step or an older moment."""
        id_ = ids.parsed(task_id)
        found = self._ledger.get(id_) if id_ is not None and id_.version == 7 else None
        return found or self._ledger.find(task_id)

    def _awaited(self, task: Task, seconds: float) -> Task:
        return task if task.is_finished or not seconds else self._wait(task.id, seconds)

    def _wait(self, id_: UUID, seconds: float) -> Task:
        with reached():
            try:
                return self._ledger.client.wait(id_, seconds)
            except NotFinished as error:
                return cast(Task, error.last)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """A custom state of the attempt that runs is told as its progress; ABORTED asks a task to stop.

        Nothing else is stored: what an attempt ends with is the worker's to tell.
        """
        attempt = running.get()
        if attempt is not None and attempt.id == task_id:
            attempt.tell(state, result)
        elif state == meta.ABORTED:
            self.cancel(task_id)
        return result

    def cancel(self, task_id: str, *, terminate: bool = True) -> None:
        """Cancel a task, or the run of a step that has not started; one that runs is asked to stop if `terminate`."""
        step = ids.step_of(task_id)
        run = None if step is None else self._ledger.get_run(step[0])
        if run is not None and step is not None:
            found = meta.step_with(run, step[1])
            if found is None or found.task_id is None:
                return self._end(lambda: self._ledger.client.cancel_run(run.id))
            task = self._ledger.get(found.task_id)
        else:
            task = self._find(task_id)
        if task is None or task.is_finished or (task.status == "PROCESSING" and not terminate):
            return None
        id_ = task.id
        return self._end(lambda: self._ledger.client.cancel(id_))

    def _end(self, ask: Callable[[], object]) -> None:
        with reached():
            try:
                ask()
            except (Conflict, NotFound):  # it has ended in between, or was deleted
                return

    def forget(self, task_id: str) -> None:
        """Forget it here; the ledger keeps the task, as long as it keeps tasks."""
        self._cache.pop(task_id, None)

    def _restore_group(self, group_id: str) -> Meta | None:
        """The group that a run was started for: its members are the steps that name it."""
        id_ = ids.parsed(group_id)
        run = None if id_ is None or id_.version != 7 else self._ledger.get_run(id_)
        if run is None:
            return None
        known = meta.step_ids(run)
        followed = {key for each in run.steps for key in each.raw.get("after") or ()}
        members = [self.app.AsyncResult(known[each.key]) for each in run.steps if each.key not in followed]
        return {"task_id": group_id, "result": GroupResult(group_id, members)}

    def _save_group(self, group_id: str, result: Any) -> Any:
        """The ledger has the run of the group already."""
        if self._restore_group(group_id) is None:
            raise NotAdopted(
                f"GroupResult.save(): the ledger has no run {group_id}: it keeps the groups that were submitted as "
                "canvases. Keep the ids of these tasks yourself."
            )
        return result

    def _delete_group(self, group_id: str) -> None:
        """Nothing: retention deletes runs with their tasks."""

    def add_to_chord(self, chord_id: str, result: Any) -> Any:
        """Not in the ledger."""
        raise NotAdopted("add_to_chord() is not possible in the ledger: make the task a member of the chord's header.")

    def cleanup(self) -> None:
        """Nothing: retention is the ledger's."""
