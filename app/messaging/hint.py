"""What a hint carries, and how hints are joined into chunks. Pure."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from taskledger_sdk.registry import MAX_HARD_LIMIT_SECONDS, find_type

# The child ends a handler by itself at its limit and kills itself after the grace period; the parent only when
# the child could not (code that never lets go of the interpreter).
BACKSTOP_SECONDS = 5
CHUNK_SECONDS = 1


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
