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
