"""What a durable run and the place where its steps are kept tell each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, Unpack
from uuid import UUID

from taskledger_sdk.context import SubmitOptions

Kind: TypeAlias = Literal["once", "sleep", "signal", "call", "gather", "checkpoint", "run"]
Until: TypeAlias = datetime | timedelta


class Undo(NamedTuple):
    """The task that takes a step back. References in its payload, {"$from": "result.id"}, are to the step's result."""

    type: str
    payload: Any


@dataclass(frozen=True)
class Child:
    """A task that is to be submitted as one of many; see child()."""

    type: str
    payload: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def child(type_name: str, payload: Any, /, **options: Unpack[SubmitOptions]) -> Child:
    """One of the tasks for task.gather(): as task.call(), but submitted by it, when its turn comes."""
    return Child(type_name, payload, dict(options))


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A step as it is kept; `result` is JSON that was parsed, and is there once it `has_ended` well."""

    name: str
    kind: str
    state: str
    digest: str | None = None
    result: Any = None
    size: int = 0
    child_id: UUID | None = None
    has_ended: bool = False

    @property
    def is_done(self) -> bool:
        """Whether its result is known."""
        return self.state == "DONE" and self.has_ended


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What a handler waits for: a moment, a signal until a moment, or children.

    `schema` is the JSON Schema of what the signal is to say. `never_asked_for` are steps that are remembered, and that
    the handler has not asked for before it came here.
    """

    step: str
    until: datetime | None = None
    signal: str | None = None
    steps: tuple[str, ...] = ()
    is_group: bool = False
    max_parallel: int | None = None
    children: int | None = None
    schema: Mapping[str, Any] | None = None
    never_asked_for: tuple[str, ...] = ()

    def __str__(self) -> str:
        """After "waits for"."""
        if self.signal is not None:
            return f"the signal {self.signal}"
        if self.children is not None:
            return f"{self.children} {'child' if self.children == 1 else 'children'} ({self.step})"
        return f"{self.until:%Y-%m-%dT%H:%M:%SZ} ({self.step})"


@dataclass(frozen=True, kw_only=True)
class SignalAnswer:
    """What became of asking for a signal: taken, timed out, or to be waited for (until a moment, if there is one)."""

    state: Literal["taken", "timed_out", "waiting"]
    data: Any = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ChildOutcome:
    """How a child has ended; `error_type` is None where it has completed."""

    task_id: UUID
    type: str
    result: Any = None
    error_type: str | None = None
    message: str = ""


class Store(Protocol):
    """Where the steps of one task are kept. Each write is durable when it returns, or raises: LeaseLost, say."""

    def steps(self) -> Mapping[str, Remembered]:
        """All but the items of groups, by name; asked for once."""

    def begin(self, name: str, seq: int, undo: Undo) -> None:
        """Remember that a step begins that may have to be undone."""

    def finish(self, name: str, seq: int, result: Any) -> Any:
        """Remember what came of a step, and return it as the next run will read it: objects in the same order, say."""

    def sleep(self, name: str, seq: int, until: Until) -> datetime | None:
        """Until when is slept; None: the moment has come, and that is remembered."""

    def take(self, name: str, seq: int, signal: str, timeout: timedelta | None) -> SignalAnswer:
        """Take the oldest signal of a name that nobody has taken."""

    def call(self, name: str, seq: int, digest: str, wanted: Child, undo: Undo | None) -> UUID:
        """Submit a child, unless the step has one; its id."""

    def outcome(self, name: str) -> ChildOutcome | None:
        """How the child of a step has ended; None: it has not. A child that nobody has released starts."""

    def gather(self, name: str, seq: int, digest: str, wanted: Sequence[Child], max_parallel: int | None) -> None:
        """Submit many children, unless the step has them."""

    def outcomes(self, name: str) -> list[ChildOutcome] | None:
        """How the children of a group have ended, in their order; None: some have not."""
