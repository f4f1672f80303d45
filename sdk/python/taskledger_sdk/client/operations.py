"""The methods of both clients, as steps."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from taskledger_sdk.client.lanes import concerns_everybody, results_of
from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.reading import moment
from taskledger_sdk.client.results import (
    Attempt,
    Event,
    LogLine,
    NotFinished,
    Run,
    Signal,
    Submitted,
    Task,
    TaskStep,
    TaskType,
    Why,
)
from taskledger_sdk.client.steps import Pause, Steps
from taskledger_sdk.client.submissions import JSON, Prepared, Submission, batch, new_id, prepared
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.calls import ANSWER_SECONDS, LARGEST_PAGE, Answer, Call
from taskledger_sdk.http.errors import RequestFailed
from taskledger_sdk.http.streams import StreamedEvent
from taskledger_sdk.typed_payloads import TypedPayload

T = TypeVar("T")
TaskId: TypeAlias = UUID | str | Task
RunId: TypeAlias = UUID | str | Run
LONG_POLL_SECONDS = 30.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
"""Between two looks: the service answers at once where too many wait already, and runs have no long poll."""
BATCH_ITEMS = 500


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list of the API, page by page, and what its items are read as."""

    path: str
    query: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], T]

    def page(self, cursor: str | None) -> Call:
        """The request for the page at `cursor`; None: the first."""
        return Call(method="GET", path=self.path, query={**self.query, "cursor": cursor})


def id_of(thing: Any) -> str:
    """The id of a result, or the id itself."""
    return str(getattr(thing, "id", thing))


def task_of(answer: Answer) -> Task:
    """The task that was submitted; `is_new` says whether it was this submission that made it."""
    return Task.of(answer.data, etag=answer.etag, is_new=answer.status == 201)


def creating(path: str, body: Any, key: str | None = None) -> Call:
    """A POST that makes one thing, however often it is sent."""
    return Call(method="POST", path=path, content=as_json(body), headers=JSON, idempotency_key=key or str(new_id()))


def get_task(task: TaskId) -> Steps[Task]:
    """A task as it is now."""
    answer = yield Call(method="GET", path=path_of("tasks", id_of(task)))
    return Task.of(answer.data, etag=answer.etag)


def wait_for_task(task: TaskId, timeout: float | None) -> Steps[Task]:
    """A task when it has ended; asks with long polls."""
    path, until = path_of("tasks", id_of(task)), _until(timeout)
    while True:
        began = time.monotonic()
        left = max(0.0, min(LONG_POLL_SECONDS, until - began))
        query = {"wait": round(left, 3)} if left else {}
        # It waits on purpose: a connection that breaks meanwhile, or falls silent, has cost none of the patience.
        due = began + left
        answer = yield Call(method="GET", path=path, query=query, seconds=ANSWER_SECONDS + left, since=due)
        found = Task.of(answer.data, etag=answer.etag)
        if found.is_finished:
            return found
        now = time.monotonic()
        if now >= until:
            raise NotFinished(found, timeout or 0.0)
        if now - began < SHORTEST_PAUSE:
            yield Pause(min(SHORTEST_PAUSE, until - now))


def change_task(task: TaskId, unless_changed: Task | None, changes: Mapping[str, Any]) -> Steps[Task]:
    """A waiting task, changed."""
    headers = dict(JSON)
    if unless_changed is not None and unless_changed.etag is not None:
        headers["If-Match"] = unless_changed.etag
    answer = yield Call(method="PATCH", path=path_of("tasks", id_of(task)), content=as_json(changes), headers=headers)
    return Task.of(answer.data, etag=answer.etag)


def delete_task(task: TaskId) -> Steps[None]:
    """Nothing: it is deleted."""
    yield Call(method="DELETE", path=path_of("tasks", id_of(task)))


def cancel_task(task: TaskId) -> Steps[Task]:
    """A task that is cancelled, or was asked to stop."""
    answer = yield Call(method="POST", path=path_of("tasks", id_of(task), "cancel"), is_harmless=True)
    return Task.of(answer.data)


def retry_task(task: TaskId, changes: Mapping[str, Any]) -> Steps[Task]:
    """A dead letter or a cancelled task, started over."""
    call = Call(method="POST", path=path_of("tasks", id_of(task), "retry"))
    if changes:
        call = Call(method=call.method, path=call.path, content=as_json(changes), headers=JSON)
    answer = yield call
    return Task.of(answer.data)


def logs(task: TaskId) -> Steps[tuple[LogLine, ...]]:
    """What a task's handler wrote."""
    answer = yield Call(method="GET", path=path_of("tasks", id_of(task), "logs"))
    return tuple(LogLine.of(each) for each in answer.data["items"])


def attempts(task: TaskId) -> Steps[tuple[Attempt, ...]]:
    """A task's attempts."""
    answer = yield Call(method="GET", path=path_of("tasks", id_of(task), "attempts"))
    return tuple(Attempt.of(each) for each in answer.data["items"])


def why(task: TaskId) -> Steps[Why]:
    """Why a task does not run."""
    answer = yield Call(method="GET", path=path_of("tasks", id_of(task), "why"))
    return Why.of(answer.data)


def signal_task(task: TaskId, name: str, data: Any, key: str | None) -> Steps[Signal]:
    """A signal that was sent to a task, once however often this is sent."""
    return _signal(path_of("tasks", id_of(task), "signals", name), data, key)


def signal_run(run: RunId, name: str, data: Any, key: str | None) -> Steps[Signal]:
    """The same to a run."""
    return _signal(path_of("runs", id_of(run), "signals", name), data, key)


def _signal(path: str, data: Any, key: str | None) -> Steps[Signal]:
    answer = yield creating(path, {"data": data}, key)
    return Signal.of(answer.data)


def signals(task: TaskId) -> Listing[Signal]:
    """What a task was told, newest first."""
    return Listing(path_of("tasks", id_of(task), "signals"), {"limit": LARGEST_PAGE}, Signal.of)


def steps(task: TaskId) -> Listing[TaskStep]:
    """What the handler of a durable task has behind it, in its order."""
    return Listing(path_of("tasks", id_of(task), "steps"), {"limit": LARGEST_PAGE}, TaskStep.of)


def tasks(filters: Mapping[str, Any], labels: Mapping[str, str] | None) -> Listing[Task]:
    """Tasks, newest first."""
    query = {name: _in_query(value) for name, value in filters.items()}
    return Listing("/tasks", query | {"label": labels_in_query(labels), "limit": LARGEST_PAGE}, Task.of)


def task_types() -> Steps[tuple[TaskType, ...]]:
    """The types of the installation."""
    answer = yield Call(method="GET", path="/task-types")
    return tuple(TaskType.of(each) for each in answer.data["items"])


def start_run(workflow: str, input_: Mapping[str, Any], options: Mapping[str, Any], id_: UUID | None) -> Steps[Run]:
    """A run that was started, once however often this is sent."""
    said = {name: value for name, value in options.items() if value is not None}
    body = as_json({"input": input_, **said, "id": id_ or new_id()})
    path = path_of("workflows", workflow, "runs")
    answer = yield Call(method="POST", path=path, content=body, headers=JSON, is_harmless=True)
    return Run.of(answer.data)


def get_run(run: RunId) -> Steps[Run]:
    """A run as it is now."""
    answer = yield Call(method="GET", path=path_of("runs", id_of(run)))
    return Run.of(answer.data)


def wait_for_run(run: RunId, timeout: float | None) -> Steps[Run]:
    """A run when it has ended; looks again and again, more and more rarely."""
    until, pause = _until(timeout), SHORTEST_PAUSE
    while True:
        found = yield from get_run(run)
        if found.is_finished:
            return found
        left = until - time.monotonic()
        if left <= 0:
            raise NotFinished(found, timeout or 0.0)
        yield Pause(min(pause, left))
        pause = min(LONGEST_PAUSE, 1.2 * pause)


def cancel_run(run: RunId) -> Steps[Run]:
    """A run that is cancelled, or whose steps were asked to stop."""
    answer = yield Call(method="POST", path=path_of("runs", id_of(run), "cancel"))
    return Run.of(answer.data)


def prepare_each(items: Iterable[Submission | TypedPayload]) -> Iterator[Prepared]:
    """Each submission as it is sent, as they come. Raises Unsendable."""
    for each in items:
        item = Submission.of(each) if isinstance(each, TypedPayload) else each
        yield prepared(item.type, item.payload, item.options, item.id)


def submit_part(part: list[Prepared], first: int) -> Steps[list[Submitted]]:
    """What became of a part of many, whose first has this index. Raises what concerns all of them."""
    found: list[Submitted] = []
    pending = [part]
    while pending:
        some = pending.pop()
        try:
            answer = yield batch(some, minimal=True)
            results = results_of(answer, len(some))
        except RequestFailed as error:
            if concerns_everybody(error):
                raise
            if len(some) > 1:  # too large for this service, more than there is room for, or one that spoils the rest
                middle = len(some) // 2
                pending += [some[middle:], some[:middle]]
                continue
            results = [error]
        found += [_submitted(first + len(found) + place, each) for place, each in enumerate(results)]
    return found


def filters_of_stream(
    status: Iterable[str] | str, type_: Iterable[str] | str, task: Iterable[TaskId], labels: Mapping[str, str] | None
) -> dict[str, Any]:
    """The query of a stream."""
    return {
        "status": _words(status),
        "type": _words(type_),
        "task_id": [id_of(each) for each in task],
        "label": labels_in_query(labels),
    }


def event_of(said: StreamedEvent) -> Event:
    """An event of a stream."""
    data = said.data
    at = moment(data["at"])
    assert at is not None  # noqa: S101  (each event has its moment)
    return Event(
        id=said.id,
        event=said.event,
        task_id=UUID(data["task_id"]),
        type=data["type"],
        status=data["status"],
        previous_status=data.get("previous_status"),
        attempt=data.get("attempt") or 0,
        at=at,
        raw=data,
    )


def labels_in_query(labels: Mapping[str, str] | None) -> list[str]:
    """As ?label=key:value, repeated."""
    return [f"{key}:{value}" for key, value in (labels or {}).items()]


def _submitted(index: int, said: Answer | RequestFailed) -> Submitted:
    if isinstance(said, RequestFailed):
        return Submitted(index=index, error=said)
    return Submitted(index=index, id=UUID(said.data["id"]), is_new=said.status == 201)


def _words(said: Iterable[str] | str) -> list[str]:
    return [said] if isinstance(said, str) else list(said)


def _in_query(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def _until(timeout: float | None) -> float:
    return float("inf") if timeout is None else time.monotonic() + timeout
