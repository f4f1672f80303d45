"""What can become of an attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

from taskledger_sdk.durable.values import Wait


class NoResult:
    """An attempt that has no result: who asks for it in a test is told what happened instead."""

    error: BaseException | None = None

    @property
    def result(self) -> NoReturn:
        """Raises AssertionError, with the handler's own error as its cause."""
        raise AssertionError(str(self)) from self.error


@dataclass(frozen=True)
class Completed:
    """The handler returned; `result` is what a client reads: tuples are lists, keys are strings."""

    result: Any

    def __str__(self) -> str:
        return f"the task completed with {self.result!r}"


@dataclass(frozen=True)
class Retrying(NoResult):
    """The attempt failed, and there is another one in `seconds`."""

    seconds: float
    error: BaseException = field(compare=False)

    def __str__(self) -> str:
        return f"the attempt failed and is tried again in {self.seconds:g} s: {_told(self.error)}"


@dataclass(frozen=True)
class Failed(NoResult):
    """The task failed; `reason` completes the sentence "the task failed because …"."""

    reason: str
    error: BaseException = field(compare=False)

    def __str__(self) -> str:
        return f"the task failed because {self.reason}: {_told(self.error)}"


@dataclass(frozen=True)
class Cancelled(NoResult):
    """Cancelling was asked for, and the handler stopped."""

    def __str__(self) -> str:
        return "the task was cancelled"


@dataclass(frozen=True)
class GivenBack(NoResult):
    """The worker shut down, and the handler stopped; another attempt follows at once, and none is counted."""

    def __str__(self) -> str:
        return "the task was given back, as its worker shut down"


@dataclass(frozen=True)
class Waiting(NoResult):
    """A durable handler waits: for a moment, a signal or children, as `wait` says."""

    wait: Wait

    def __str__(self) -> str:
        return f"the task waits for {self.wait}"


@dataclass(frozen=True)
class StartedOver(NoResult):
    """A durable handler begins anew, with this payload."""

    payload: Any

    def __str__(self) -> str:
        return f"the task begins anew with {self.payload!r}"


Outcome = Completed | Retrying | Failed | Cancelled | GivenBack | Waiting | StartedOver


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
