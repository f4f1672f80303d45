"""What the doctor says about one point of the checklist."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a point stands."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One point: what was looked at, how it stands, what was seen, and what to do; never a secret."""

    point: str
    state: State
    seen: str
    advice: str = ""


Findings = Iterator[Finding]


def ok(point: str, seen: str) -> Finding:
    """The point is as it should be."""
    return Finding(point=point, state=State.OK, seen=seen)


def warning(point: str, seen: str, advice: str) -> Finding:
    """The service works, but not as it should; `advice` says what to do."""
    return Finding(point=point, state=State.WARNING, seen=seen, advice=advice)


def fault(point: str, seen: str, advice: str) -> Finding:
    """The service cannot work like this; `advice` says what to do."""
    return Finding(point=point, state=State.FAULT, seen=seen, advice=advice)


def unknown(point: str, seen: str) -> Finding:
    """It could not be looked at, because of something that is a fault elsewhere in the list."""
    return Finding(point=point, state=State.UNKNOWN, seen=seen)


def judged(
    point: str, is_well: bool, seen: str, advice: str, bad: Callable[[str, str, str], Finding] = fault
) -> Finding:
    """Ok, or as bad as `bad` says."""
    return ok(point, seen) if is_well else bad(point, seen, advice)
