"""What a hint carries, and how hints are joined into chunks. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from tasks.errors import UnknownTaskType
from tasks.registry import get_type

# The child ends a handler by itself at its limit and kills itself after the grace period; the parent only when
# the child could not (code that never lets go of the interpreter).
BACKSTOP_SECONDS = 5
DEFAULT_TIME_LIMIT = 1560
CHUNK_SECONDS = 1


class Dispatchable(Protocol):
    """What a hint is made from: a task's record, or the columns that the dispatcher reads."""

    @property
    def id(self) -> UUID: ...
    @property
    def type(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> str: ...
    @property
    def timeout_seconds(self) -> int | None: ...
    @property
    def solo(self) -> bool: ...
    @property
    def traceparent(self) -> str | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
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
        alone = task.solo or task.timeout_seconds is not None or task.priority == "high"
        try:
            task_type = get_type(task.type)
        except UnknownTaskType:
            # Published all the same: a newer worker may know it.
            return cls._single(task, time_limit=DEFAULT_TIME_LIMIT, chunk=1)
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
    open_chunks: dict[tuple[str, str, str], int] = {}
    joined: list[Hint] = []
    for hint in hints:
        key = (hint.type, hint.queue, hint.priority)
        at = open_chunks.get(key) if hint.chunk > 1 else None
        if at is not None and len(joined[at].ids) + len(hint.ids) <= hint.chunk:
            whole = joined[at]
            limit = max(whole.time_limit, hint.time_limit + CHUNK_SECONDS)
            joined[at] = replace(whole, ids=whole.ids + hint.ids, time_limit=limit, traces=whole.traces + hint.traces)
        else:
            if hint.chunk > 1:
                open_chunks[key] = len(joined)
            joined.append(hint)
    return joined
