"""What can go wrong with a task type, its payload or its handler; and what a handler raises to say so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

# Longer pauses are schedules: a task that may start next year belongs into `scheduled_at`, where people see it.
MAX_PAUSE_SECONDS = 30 * 24 * 3600

# Every class hands its own arguments to Exception.__init__, because a pool child sends exceptions to its parent as
# pickles, and unpickling calls the class with `args`.


class TaskError(Exception):
    """Anything this package raises on purpose."""


class PermanentError(TaskError):
    """Raised by a handler: trying again cannot help, so the task fails at once."""


class RetryLater(TaskError):
    """Raised by a handler: try again in `seconds` (0 to 30 days), whatever the backoff of the type says."""

    def __init__(self, seconds: float, message: str = "") -> None:
        if not (math.isfinite(seconds) and 0 <= seconds <= MAX_PAUSE_SECONDS):
            raise ValueError(f"RetryLater({seconds!r}): give seconds from 0 to {MAX_PAUSE_SECONDS} (30 days)")
        super().__init__(seconds, message)
        self.seconds = seconds
        self.message = message

    def __str__(self) -> str:
        return self.message or f"asked to be tried again in {self.seconds:g} s"


class NoRoom(TaskError):
    """Raised by task.submit(): the account has as many waiting tasks as it may.

    Not permanent: a handler that lets it pass is tried again later, as its retry policy says.
    """


class AskedToWait(RetryLater):
    """The other side asks not to be tried again for `seconds`: the pause is that or the type's backoff, if longer.

    It is the word of a stranger, so it can make a pause longer and never shorter: with RetryLater a server that
    answers "at once" to everything would use up all attempts of a task within a second.
    """


class PayloadRefused(PermanentError):
    """The payload does not fit its type; `errors` holds the path of each refused value, from "payload" down.

    {"payload": ["must be a string, not a number"]} for a scalar, {"payload": {"to": ["missing"]}} for an object.
    """

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "; ".join(f"{path}: {message}" for path, message in _leaves(self.errors))


class UpgradeFailed(PermanentError):
    """A payload of an earlier release could not be upgraded: the function raised, or made what the type refuses."""


class UnknownTaskType(TaskError):
    """No task type has this name; `known` are those that exist, `nearest` the one that was probably meant."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = tuple(known)
        self.nearest = next(iter(get_close_matches(name[:100], self.known, n=1)), None)

    def __str__(self) -> str:
        guess = f"; did you mean {self.nearest!r}?" if self.nearest else "."
        return f"no task type is called {self.name[:100]!r}{guess} Known: {', '.join(self.known) or 'none'}"


class BadDeclaration(TaskError):
    """A task type or its payload is declared wrongly; raised at import, so that no process starts with it."""


class TimeLimitReached(Exception):
    """The soft time limit was reached; raised inside the handler, which may clean up and must then end."""


class TaskCancelled(BaseException):
    """Cancelling was asked for; not an Exception, so that a handler's `except Exception` does not swallow it."""


class ShuttingDown(BaseException):
    """The worker stops and gives the task back, uncounted; not an Exception, for the same reason."""


class Suspended(BaseException):
    """A durable handler gives its worker back, and waits; it ends the run, so nothing may catch it.

    `wait` says what for (taskledger_sdk.durable.values.Wait).
    """

    def __init__(self, wait: Any) -> None:
        super().__init__(wait)
        self.wait = wait

    def __str__(self) -> str:
        return f"the task waits for {self.wait}"


class StartOver(BaseException):
    """A durable handler forgets its steps, and begins anew with `payload`; it ends the run, so nothing may catch it."""

    def __init__(self, payload: Any) -> None:
        super().__init__(payload)
        self.payload = payload

    def __str__(self) -> str:
        return "the task begins anew"


class LeaseLost(BaseException):
    """Another worker has the task: whatever this attempt does from here on counts for nothing. Let it pass."""


class NotDeterministic(PermanentError):
    """A durable handler asks for something else under a name than it did in an earlier run of the same task.

    The task fails, nothing of it is undone, and what it remembers stays: with a handler that fits, it can be replayed.
    """

    def __init__(self, step: str, remembered: str, asked: str) -> None:
        super().__init__(step, remembered, asked)
        self.step, self.remembered, self.asked = step, remembered, asked

    def __str__(self) -> str:
        other = " with another payload" if self.remembered == self.asked else ""
        return (
            f"the handler asks for the step {self.step!r} as {self.asked}{other}, and the task remembers it as "
            f"{self.remembered}: give a step that is changed another name, and replay the task"
        )


class ChildFailed(PermanentError):
    """A child that a durable handler waited for has failed or was cancelled; uncaught, it fails the task, too.

    `task_id` and `type` are the child's, `error_type` and `message` its error's.
    """

    def __init__(self, step: str, task_id: str, type: str, error_type: str, message: str) -> None:  # noqa: A002
        super().__init__(step, task_id, type, error_type, message)
        self.step, self.task_id, self.type = step, task_id, type
        self.error_type, self.message = error_type, message

    def __str__(self) -> str:
        return f"{self.step}: task {self.task_id} ({self.type}) did not complete: {self.error_type}: {self.message}"


class WaitTimedOut(PermanentError):
    """No signal came in time, and task.wait_for() had no default."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal

    def __str__(self) -> str:
        return f"the signal {self.signal!r} did not come in time"


def _leaves(errors: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(errors, Mapping):
        for key, below in errors.items():
            inner = path if key == "_schema" else f"{path}.{key}" if path else str(key)
            yield from _leaves(below, inner)
    elif isinstance(errors, list):
        for message in errors:
            yield from _leaves(message, path)
    else:
        yield path, str(errors)
