"""Schedules written in Python: one a file of a package, in the words of the JSON form."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from taskledger_sdk import packages
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.payload.fields import UUID_TEXT

NAME = re.compile(r"[^\x00-\x1f\x7f/](?:[^\x00-\x1f\x7f/]{0,198}[^\x00-\x1f\x7f/ ])?")
MOMENTS = ("run_at", "starts_at", "ends_at")


@dataclass(frozen=True, kw_only=True)
class DeclaredSchedule:
    """A schedule of the service itself. `written`: as the body of `PUT /schedules/{name}`; `place`: module and line."""

    name: str
    written: Mapping[str, Any]
    place: str

    @cached_property
    def digest(self) -> str:
        """Equal for schedules that say the same."""
        return hashlib.sha256(json.dumps(self.written, sort_keys=True).encode()).hexdigest()


_schedules: dict[str, DeclaredSchedule] = {}


def schedule(
    name: str,
    *,
    cron: str | None = None,
    run_at: datetime | None = None,
    time_zone: str = "UTC",
    task: Mapping[str, Any] | None = None,
    workflow: Mapping[str, Any] | None = None,
    misfire: str = "run_once",
    misfire_cap: int = 10,
    overlap: str = "allow",
    jitter_seconds: int = 0,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    enabled: bool = True,
) -> DeclaredSchedule:
    """Declare a schedule: `cron` or `run_at`, and `task` or `workflow`, all as `POST /schedules` takes them.

    `setup` stores it for the service itself, in place of what an earlier release declared under this name. `enabled`
    says whether it has slots when it is stored for the first time; afterwards people decide that. Moments are aware.
    Raises BadDeclaration for what is wrong as far as the author's process can see; `setup` checks the rest.
    """
    caller = sys._getframe(1)
    place = f"{caller.f_globals.get('__name__', '?')}, line {caller.f_lineno}"
    written: dict[str, Any] = {"cron": cron, "run_at": run_at, "time_zone": time_zone, "enabled": enabled}
    written |= {"misfire": misfire, "misfire_cap": misfire_cap, "overlap": overlap, "jitter_seconds": jitter_seconds}
    written |= {"starts_at": starts_at, "ends_at": ends_at}
    written |= {word: dict(value) for word, value in (("task", task), ("workflow", workflow)) if value is not None}
    _check(name, written)
    written |= {moment: written[moment] and written[moment].isoformat() for moment in MOMENTS}
    made = DeclaredSchedule(name=name, written=written, place=place)
    _check_json(made)
    _register(made)
    return made


def load_schedules() -> Mapping[str, DeclaredSchedule]:
    """All schedules of the packages that are used, by name. Raises BrokenFiles where a file cannot be imported."""
    packages.load()
    return dict(sorted(_schedules.items()))


def _register(made: DeclaredSchedule) -> None:
    other = _schedules.setdefault(made.name, made)
    if other.written != made.written:
        raise BadDeclaration(f"schedule {made.name!r} is declared at {other.place} already; take another name")


def _check(name: str, written: Mapping[str, Any]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name) or UUID_TEXT.fullmatch(name):
        raise BadDeclaration(f"{name!r} is no name of a schedule; give up to 200 characters without / and no UUID")
    if (written["cron"] is None) == (written["run_at"] is None):
        raise BadDeclaration(f"schedule {name!r}: give either cron (recurring) or run_at (once)")
    if ("task" in written) == ("workflow" in written):
        example = 'task={"type": "reverse_string", "payload": "hello"}'
        raise BadDeclaration(f"schedule {name!r}: give either task or workflow, such as {example}")
    for moment in MOMENTS:
        value = written[moment]
        if value is not None and (not isinstance(value, datetime) or value.utcoffset() is None):
            example = "datetime(2030, 1, 1, tzinfo=UTC)"
            raise BadDeclaration(f"schedule {name!r}: {moment}={value!r} is no aware moment; write {example}")


def _check_json(made: DeclaredSchedule) -> None:
    try:
        _ = made.digest
    except (TypeError, ValueError) as error:
        raise BadDeclaration(
            f"schedule {made.name!r}: what it submits must be JSON, as a request has it: {error}"
        ) from error
