"""The messages that go through the broker: hints and their chunks, announcements of events, dead letters. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from taskledger_sdk.registry import MAX_HARD_LIMIT_SECONDS, find_type

# The child ends a handler by itself at its limit and kills itself after the grace period; the parent only when
# the child could not (code that never lets go of the interpreter).
BACKSTOP_SECONDS = 5
CHUNK_SECONDS = 1
MAX_SLICE_BYTES = 4_000_000  # of a body that is looked at; ours have some 250 bytes for each of at most 1,000 events
BODY_CHARACTERS = 2_000  # of a message that was no hint of ours, shown in its dead letter
LOST = "its worker was lost, and no retry is left"


class Dispatchable(Protocol):
    """What a hint is made from: a task's record, or the columns that the dispatcher reads."""

    @property
    def id(self) -> UUID:
        """The id of the task."""

    @property
    def type(self) -> str:
        """The name of its type."""

    @property
    def queue(self) -> str:
        """The queue that its hint is published to."""

    @property
    def priority(self) -> str:
        """high, normal or low."""

    @property
    def timeout_seconds(self) -> int | None:
        """Its own limit; None for that of its type."""

    @property
    def unchunked(self) -> bool:
        """Whether it travels in a hint of its own."""

    @property
    def traceparent(self) -> str | None:
        """The trace of the request that submitted it (W3C)."""


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """A broker message: a task type and the ids to run, no payload. Several ids make a chunk."""

    type: str
    ids: tuple[UUID, ...]
    queue: str
    priority: str
    time_limit: int
    chunk: int = 1
    traces: tuple[str, ...] = ()
    """The trace contexts in which its tasks were submitted, where there are any."""

    @classmethod
    def of(cls, task: Dispatchable) -> "Hint":
        """The hint of one task; `chunk` says with how many of its kind it may travel."""
        alone = task.unchunked or task.timeout_seconds is not None or task.priority == "high"
        task_type = find_type(task.type)
        if task_type is None:  # published all the same: a newer worker may know it
            return cls._single(task, time_limit=MAX_HARD_LIMIT_SECONDS, chunk=1)
        seconds = (task.timeout_seconds or task_type.timeout_seconds) + task_type.grace_seconds
        return cls._single(task, time_limit=seconds + BACKSTOP_SECONDS, chunk=1 if alone else task_type.chunk)

    @classmethod
    def _single(cls, task: Dispatchable, *, time_limit: int, chunk: int) -> "Hint":
        return cls(
            type=task.type,
            ids=(task.id,),
            queue=task.queue,
            priority=task.priority,
            time_limit=time_limit,
            chunk=chunk,
            traces=() if task.traceparent is None else (task.traceparent,),
        )


def coalesce(hints: Iterable[Hint]) -> list[Hint]:
    """Join hints of one type, queue and priority into chunks where the type allows it; order is kept."""
    chunks: list[list[Hint]] = []
    sizes: list[int] = []
    open_chunks: dict[tuple[str, str, str], int] = {}
    for hint in hints:
        key = (hint.type, hint.queue, hint.priority)
        at = open_chunks.get(key) if hint.chunk > 1 else None
        if at is not None and sizes[at] + len(hint.ids) <= hint.chunk:
            chunks[at].append(hint)
            sizes[at] += len(hint.ids)
            continue
        if hint.chunk > 1:
            open_chunks[key] = len(chunks)
        chunks.append([hint])
        sizes.append(len(hint.ids))
    return [_joined(chunk) for chunk in chunks]


def _joined(chunk: list[Hint]) -> Hint:
    if len(chunk) == 1:
        return chunk[0]
    limit = max(hint.time_limit for hint in chunk) + CHUNK_SECONDS
    ids = tuple(id_ for hint in chunk for id_ in hint.ids)
    return replace(chunk[0], ids=ids, time_limit=limit, traces=tuple(each for hint in chunk for each in hint.traces))


def shown(ids: list[str]) -> str:
    """The arguments as Flower and the worker's log show them; Celery would write out each of many."""
    return f"('{ids[0]}',)" if len(ids) == 1 else f"({len(ids)} tasks from '{ids[0]}' to '{ids[-1]}')"


class Numbered(msgspec.Struct, frozen=True, gc=False):  # thousands at a time, and none can be part of a circle
    """One event with its publish-order number, as it is published. It holds no payload, no result and no error."""

    position: int
    event_id: int
    task_id: UUID
    type: str
    status: str
    previous_status: str | None
    attempt: int
    worker: str | None
    at: datetime
    owner_id: UUID | None


class Slice(msgspec.Struct, frozen=True):
    """One message: the events numbered from `first_position` to `last_position`, in that order.

    A number without an event is one whose task was deleted.
    """

    first_position: int
    last_position: int
    events: Sequence[Numbered]

    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class _Named(msgspec.Struct, frozen=True):
    last_position: int


NotASlice = msgspec.DecodeError
_NAMED = msgspec.json.Decoder(_Named)


def newest_named(body: str | bytes) -> int:
    """The last number that a message names: all of it that a sink looks at. Raises NotASlice for anything else.

    Whoever can write to the broker can write any number, so that this is a reason to look, and nothing to believe.
    """
    if len(body) > MAX_SLICE_BYTES:
        raise NotASlice(f"has {len(body)} bytes, and no message of ours has more than {MAX_SLICE_BYTES}")
    try:
        return _NAMED.decode(body).last_position
    except RecursionError as error:
        raise NotASlice("is nested too deeply") from error


def slices(first: int, last: int, events: Sequence[Numbered], *, size: int) -> Iterator[Slice]:
    """Cut the numbers from `first` to `last` into messages of at most `size`."""
    for start in range(first, last + 1, size):
        end = min(start + size - 1, last)
        held = [event for event in events if start <= event.position <= end]
        yield Slice(first_position=start, last_position=end, events=held)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A recorded failure, or a message that is no hint of ours, for people who watch the queue `tasks.dead`.

    It holds ids and words, no payload.
    """

    reason: str
    task_id: str | None = None
    type: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_failure(cls, task_id: UUID, type_name: str, attempt: int, *, reason: str, error_type: str) -> "DeadLetter":
        """The dead letter of a task whose failure has been recorded."""
        detail = {"error": error_type, "attempt": attempt}
        return cls(reason=reason, task_id=str(task_id), type=type_name, detail=detail)

    @classmethod
    def of_lost(cls, task_id: UUID, type_name: str, attempt: int) -> "DeadLetter":
        """The dead letter of a task whose worker was lost at its last attempt."""
        return cls.of_failure(task_id, type_name, attempt, reason=LOST, error_type="WorkerLost")

    def body(self) -> dict[str, Any]:
        """As JSON."""
        known = {"reason": self.reason, "task_id": self.task_id, "type": self.type, **self.detail}
        return {name: value for name, value in known.items() if value is not None}
