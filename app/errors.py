"""Errors of the application: each says what was wrong, where, and what to do next."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAX_TOLD = 20  # faults in the text of a refusal; `errors` holds all of them


class TaskledgerError(Exception):
    """Anything that the application refuses or cannot do; its text is written for the person who meets it."""


class SettingsError(TaskledgerError):
    """The environment does not describe a service that can start; every fault is listed, not only the first."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {fault}" for fault in faults))


class ProblemError(TaskledgerError):
    """What a request is answered with; it says itself how, so that a new one needs nothing but its class.

    `status` is that of HTTP; `code` is for programs and never changes its meaning; `errors` holds messages at the path
    of each refused field; `retry_after_seconds` says when the same request may succeed, where that is known.
    """

    status: int
    code: str
    errors: Mapping[str, Any] = MappingProxyType({})
    retry_after_seconds: int | None = None

    @property
    def detail(self) -> str:
        """What the answer tells: what was wrong, where, and what to do."""
        return str(self)


class NotFound(ProblemError):
    """There is no such thing, or it is not the caller's to see."""

    status, code = 404, "not_found"


class Conflict(ProblemError):
    """The thing is in a status that does not allow this change."""

    status, code = 409, "wrong_status"


class Gone(ProblemError):
    """It was there once, and has been deleted."""

    status, code = 410, "gone"


class Outdated(ProblemError):
    """The thing has changed since the caller read it (If-Match named an older state)."""

    status, code = 412, "precondition_failed"


class Refused(ProblemError):
    """Input that cannot be accepted; `errors` holds the path of each refused field, nested like the input."""

    status = 422

    def __init__(self, errors: Mapping[str, Any], *, code: str = "validation_failed") -> None:
        self.errors: dict[str, Any] = dict(errors)
        self.code = code
        super().__init__("; ".join(f"{path}: {message}" for path, message in flatten(self.errors)[:MAX_TOLD]))

    @property
    def detail(self) -> str:
        """The first refused fields, in one sentence."""
        return summary(self.errors)


def summary(errors: Mapping[str, Any], max_fields: int = 3) -> str:
    """The first refused fields in one sentence."""
    pairs = flatten(errors)
    told = "; ".join(_clause(path, message) for path, message in pairs[:max_fields])
    more = f" (and {len(pairs) - max_fields} more in errors)" if len(pairs) > max_fields else ""
    end = "" if (more or told).endswith("?") else "."
    return f"{told[:1].upper() if not pairs[0][0] else told[:1]}{told[1:]}{more}{end}"


def _clause(path: str, message: str) -> str:
    plain = message.rstrip(".")
    return f"{path} {plain[:1].lower()}{plain[1:]}" if path else plain


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
