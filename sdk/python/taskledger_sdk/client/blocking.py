"""The client of programs with threads, or without."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from taskledger_sdk.client import forks, operations, settings, triggers
from taskledger_sdk.client.artifacts import Artifacts
from taskledger_sdk.client.lanes import Lanes
from taskledger_sdk.client.operations import BATCH_ITEMS, RunId, TaskId, task_of
from taskledger_sdk.client.options import ChangeOptions, TaskOptions
from taskledger_sdk.client.results import (
    Attempt,
    Event,
    LogLine,
    OutsideEvent,
    Run,
    Signal,
    Submitted,
    Task,
    TaskStep,
    TaskType,
    Why,
)
from taskledger_sdk.client.schedules import Schedules
from taskledger_sdk.client.sessions import Session
from taskledger_sdk.client.submissions import Submission, parts_of, prepared
from taskledger_sdk.client.triggers import EventId, Triggers
from taskledger_sdk.client.work.threads import Handler, ThreadedWorker, life_of, stopped_by_signals
from taskledger_sdk.http.retrying import Patience
from taskledger_sdk.http.streams import follow
from taskledger_sdk.http.transport import Transport
from taskledger_sdk.typed_payloads import UNSET, TypedPayload

T = TypeVar("T")


class Client:
    """A Taskledger service, for threads: one client serves all threads of a process, and children that it forks.

    `url` and `api_key` are those given, or of TASKLEDGER_URL and TASKLEDGER_API_KEY, or what `tledger login` keeps (of
    `profile`). `ca_file` holds the certificate of a private authority; plain HTTP goes to this machine only, unless
    `allow_http`. What is safe to repeat is repeated for `retry_seconds`, with growing pauses.

    Its methods raise RequestFailed: Refused and its kinds for what the service answered, Unreachable for no answer.
    Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        allow_http: bool = False,
        retry_seconds: float = settings.RETRY_SECONDS,
    ) -> None:
        connection = settings.connection_of(url, api_key, profile, ca_file, allow_http=allow_http)
        self._session = Session(connection, settings.patience_of(retry_seconds))
        self._lanes = self._new_lanes()
        self.artifacts = Artifacts(self._session)
        self.schedules = Schedules(self._session)
        self.triggers = Triggers(self._session)
        forks.watch(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._session.connection.url}>"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @overload
    def submit(self, payload: TypedPayload, /, *, id: UUID | None = None, **options: Unpack[TaskOptions]) -> Task: ...

    @overload
    def submit(self, type: str, payload: Any, *, id: UUID | None = None, **options: Unpack[TaskOptions]) -> Task: ...

    def submit(
        self, type: str | TypedPayload, payload: Any = UNSET, *, id: UUID | None = None, **options: Unpack[TaskOptions]
    ) -> Task:
        """Submit a task; when this returns, it is durable. Many threads at once share requests.

        Give the name of a type and a payload, or one payload of a class that `tledger types` writes. The options are
        those of POST /tasks. Repeated by itself, it makes one task only; with an `id` of yours (see `new_id`), so does
        a second call that says the same, for as long as the task is there: it is the id of the task.
        Raises RequestFailed: Invalid with `errors` by path, QuotaReached, Unsendable, ….
        """
        return self._lanes.submit(prepared(type, payload, options, id), task_of)

    def submit_many(
        self, submissions: Iterable[Submission | TypedPayload], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Submitted]:
        """Submit any number in batches, as they come; what became of each, in their order.

        Nothing is sent before the first result is asked for, and what is not asked for is not sent. `progress` is told
        how many are done. Raises RequestFailed for what concerns all of them: those that were yielded are submitted,
        and of the batch after them it is not known.
        """
        done = 0
        for part in parts_of(operations.prepare_each(submissions), most_items=BATCH_ITEMS):
            results = self._session.run(operations.submit_part(part, done))
            done += len(results)
            if progress is not None:
                progress(done)
            yield from results

    def get(self, task: TaskId) -> Task:
        """Read a task. Raises NotFound."""
        return self._session.run(operations.get_task(task))

    def wait(self, task: TaskId, timeout: float | None = None) -> Task:
        """Wait until a task has ended, however it did: see its `status`. Raises NotFinished after `timeout` seconds."""
        return self._session.run(operations.wait_for_task(task, timeout))

    def list(
        self,
        *,
        status: str | Iterable[str] = (),
        type: str | Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        q: str | None = None,
    ) -> Iterator[Task]:
        """Tasks that match all that is given, newest first, read page by page."""
        filters: dict[str, Any] = {"status": status, "type": type, "q": q}
        filters |= {"created_after": created_after, "created_before": created_before}
        return self._session.items(operations.tasks(filters, labels))

    def change(self, task: TaskId, *, unless_changed: Task | None = None, **changes: Unpack[ChangeOptions]) -> Task:
        """Change a task that has not started. Raises Conflict: too late, or `unless_changed` is not its state now."""
        return self._session.run(operations.change_task(task, unless_changed, changes))

    def delete(self, task: TaskId) -> None:
        """Delete a finished task and its history. Raises Conflict for one that is not finished."""
        self._session.run(operations.delete_task(task))

    def cancel(self, task: TaskId) -> Task:
        """Cancel a task; one that runs is asked to stop. Raises Conflict for one that has ended."""
        return self._session.run(operations.cancel_task(task))

    def retry(self, task: TaskId, **changes: Any) -> Task:
        """Start a FAILED or CANCELLED task over, with another `payload` or `max_retries` if given. Raises Conflict.

        A durable task goes on with what it remembers; `fresh=True` makes it forget that.
        """
        return self._session.run(operations.retry_task(task, changes))

    def logs(self, task: TaskId) -> tuple[LogLine, ...]:
        """What the task's handler wrote, oldest first."""
        return self._session.run(operations.logs(task))

    def attempts(self, task: TaskId) -> tuple[Attempt, ...]:
        """The task's attempts, oldest first."""
        return self._session.run(operations.attempts(task))

    def why(self, task: TaskId) -> Why:
        """Why the task does not run: one cause, its evidence, and what to do."""
        return self._session.run(operations.why(task))

    def signal(self, task: TaskId, name: str, data: Any = None, *, key: str | None = None) -> Signal:
        """Tell a task what it waits for, or will wait for: `data` is what its wait returns.

        Repeated by itself, it is sent once; with a `key` of yours, so is a second call that says the same. Raises
        Conflict: the task has ended, or 100 signals lie untaken; Invalid: the wait does not take this data.
        """
        return self._session.run(operations.signal_task(task, name, data, key))

    def signal_run(self, run: RunId, name: str, data: Any = None, *, key: str | None = None) -> Signal:
        """The same for a run: the step that waits for it goes on."""
        return self._session.run(operations.signal_run(run, name, data, key))

    def signals(self, task: TaskId) -> Iterator[Signal]:
        """What the task was told, newest first, read page by page."""
        return self._session.items(operations.signals(task))

    def steps(self, task: TaskId) -> Iterator[TaskStep]:
        """What the handler of a durable task has behind it, in its order, read page by page."""
        return self._session.items(operations.steps(task))

    def types(self) -> tuple[TaskType, ...]:
        """The task types of the installation, by name."""
        return self._session.run(operations.task_types())

    def run_workflow(
        self,
        workflow: str,
        input: Mapping[str, Any] | None = None,
        *,
        priority: Literal["high", "normal", "low"] | None = None,
        labels: Mapping[str, str] | None = None,
        id: UUID | None = None,
    ) -> Run:
        """Start a run of a workflow; with an `id` of yours (see `new_id`), saying the same again starts no second one.

        Raises NotFound, Invalid with `errors` by path.
        """
        options = {"priority": priority, "labels": labels}
        return self._session.run(operations.start_run(workflow, input or {}, options, id))

    def get_run(self, run: RunId) -> Run:
        """Read a run with its steps. Raises NotFound."""
        return self._session.run(operations.get_run(run))

    def wait_run(self, run: RunId, timeout: float | None = None) -> Run:
        """Wait until a run has ended, however it did. Raises NotFinished after `timeout` seconds."""
        return self._session.run(operations.wait_for_run(run, timeout))

    def cancel_run(self, run: RunId) -> Run:
        """Cancel a run; what it has completed stays. Raises Conflict for one that has ended."""
        return self._session.run(operations.cancel_run(run))

    def send_event(
        self, name: str, data: Any = None, *, ordering_key: str | None = None, idempotency_key: str | None = None
    ) -> OutsideEvent:
        """Tell of something that happened; your triggers that listen for it start their work, each once.

        Repeated by itself, it tells of one event only; with an `idempotency_key` of yours, so does a second call that
        says the same within 24 hours. Events with the same `ordering_key` are applied one at a time, in their order.
        Raises RequestFailed: Invalid with `errors` by path, QuotaReached.
        """
        return self._session.run(triggers.send_event(name, data, ordering_key, idempotency_key))

    def get_event(self, event: EventId) -> OutsideEvent:
        """Read an event: what it started, and which triggers did not match and why. Raises NotFound."""
        return self._session.run(triggers.get_event(event))

    def stream(
        self,
        *,
        status: str | Iterable[str] = (),
        type: str | Iterable[str] = (),
        task: Iterable[TaskId] = (),
        labels: Mapping[str, str] | None = None,
        after: str | None = None,
    ) -> Iterator[Event]:
        """Your events as they happen, each once and without end, from now on or from the number `after` on.

        A connection that breaks is made again, and goes on where it was.
        """
        filters = operations.filters_of_stream(status, type, task, labels)
        for said in follow(self._session.transport, filters, after=after):
            yield operations.event_of(said)

    def work(
        self,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 1,
        name: str | None = None,
        stop: threading.Event | None = None,
        stop_seconds: float = 20.0,
        signals: bool = True,
    ) -> None:
        """Work off tasks of remote types, until SIGTERM, SIGINT or `stop`: each handler takes the task and its payload.

        At most `concurrency` run at once, each in a thread of its own.
        A handler that raises PermanentError is not tried again, RetryLater says when; what it returns is the result.
        Leases are renewed while it runs. Once its task is cancelled, task.check_cancelled() and task.progress() raise.
        On a stop nothing more is claimed; after `stop_seconds` what still runs is given back, uncounted. `name` is
        unique within the account, and made anew unless given. Raises RequestFailed where no claim can succeed: the key
        lacks the scope `work`, or a type is not declared.
        """
        life = life_of(name, handlers, concurrency)
        end = stop or threading.Event()
        with (
            Transport(self._session.connection, patience=Patience(tries=1)) as transport,
            stopped_by_signals(end, is_wanted=signals),
        ):
            ThreadedWorker(transport.answer, handlers, life, stop=end, stop_seconds=stop_seconds).run()

    def _start_afresh(self) -> None:
        """In a child process. Connections are opened when they are needed, for little should happen after a fork."""
        self._session.forget()
        self._lanes = self._new_lanes()

    def _new_lanes(self) -> Lanes:
        return Lanes(self._session.run)
