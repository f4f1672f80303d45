"""Errors of the application: each says what was wrong, where, and what to do next."""

from collections.abc import Mapping
from typing import Any

MAX_TOLD = 20  # faults in the text of a refusal; `errors` holds all of them


class TaskledgerError(Exception):
    """Anything that the application refuses or cannot do; its text is written for the person who meets it."""


class SettingsError(TaskledgerError):
    """The environment does not describe a service that can start; every fault is listed, not only the first."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))


class NotFound(TaskledgerError):
    """There is no such thing, or it is not the caller's to see."""


class Gone(TaskledgerError):
    """It was there once, and has been deleted."""


class Refused(TaskledgerError):
    """Input that cannot be accepted; `errors` holds the path of each refused field, nested like the input."""

    def __init__(self, errors: Mapping[str, Any], *, code: str = "validation_failed") -> None:
        self.errors = dict(errors)
        self.code = code
        super().__init__("; ".join(f"{path}: {message}" for path, message in flatten(self.errors)[:MAX_TOLD]))


class Conflict(TaskledgerError):
    """The thing is in a status that does not allow this change."""


class Outdated(TaskledgerError):
    """The thing has changed since the caller read it (If-Match named an older state)."""


def flatten(errors: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested messages as (dotted path, message) pairs: {"payload": {"to": ["bad"]}} gives [("payload.to", "bad")]."""
    if isinstance(errors, Mapping):
        pairs = []
        for key, value in errors.items():
            below = path if key == "_schema" else f"{path}.{key}" if path else str(key)
            pairs += flatten(value, below)
        return pairs
    if isinstance(errors, (list, tuple)):
        return [pair for message in errors for pair in flatten(message, path)]
    return [(path, str(errors))]
