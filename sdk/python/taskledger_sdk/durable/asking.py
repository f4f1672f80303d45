"""What a durable handler may ask for, checked at the call: names, digests, sizes. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from taskledger_sdk.durable.values import Child, Undo, Until
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.results import storable

NAME = re.compile(r"[^#\[\]\x00]{1,100}")
SIGNAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
STEP_BYTES = 256 * 1024
SCHEMA_BYTES = 16 * 1024
MAX_STEPS = 1_000
MAX_BYTES = 8 * 1024 * 1024
MAX_ITEMS = 10_000
LONGEST = timedelta(days=3660)


def checked_name(name: Any) -> str:
    """The name of a step. Raises PermanentError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PermanentError(f"{name!r} is no name of a step: give 1 to 100 characters without #, [ and ]")
    return name


def checked_signal(name: Any) -> str:
    """The name of a signal, which stands in addresses. Raises PermanentError."""
    if not isinstance(name, str) or not SIGNAL.fullmatch(name):
        raise PermanentError(
            f"task.wait_for({name!r}): give 1 to 100 of A-Z, a-z, 0-9, _ . : -, and a letter or digit at first"
        )
    return name


def checked_schema(value: Any, where: str) -> dict[str, Any] | None:
    """The JSON Schema of what a signal is to say. Raises PermanentError."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise PermanentError(f"{where}: schema is a JSON Schema, such as {{'type': 'object', …}}, not {value!r}")
    copied: dict[str, Any] = json.loads(json.dumps(storable(dict(value), f"{where}: its schema is", SCHEMA_BYTES)))
    return copied


def checked_until(value: Any, where: str) -> Until:
    """A moment or a time to wait; numbers are seconds. Raises PermanentError."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise PermanentError(f"{where}: the moment has no time zone; give an aware datetime, in UTC, say")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = timedelta(seconds=value)
    if not isinstance(value, timedelta):
        raise PermanentError(f"{where}: give a timedelta, a number of seconds or a moment, not {value!r}")
    if value > LONGEST:
        raise PermanentError(f"{where}: at most {LONGEST.days} days are waited")
    return max(value, timedelta(0))


def checked_timeout(value: Any, where: str) -> timedelta | None:
    """How long to wait at most; None is without end. Raises PermanentError."""
    if value is None:
        return None
    until = checked_until(value, where)
    if isinstance(until, datetime):
        raise PermanentError(f"{where}: timeout is a timedelta or a number of seconds, not a moment")
    return until


def checked_undo(value: Any, where: str) -> Undo | None:
    """The task that takes a step back. Raises PermanentError."""
    if value is None:
        return None
    if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], str):
        raise PermanentError(f'{where}: undo is a pair of a task type and its payload: ("refund", {{…}})')
    return Undo(value[0], as_json(value[1], f"{where}: the payload of its undo is"))


def as_json(value: Any, what: str) -> Any:
    """A copy as JSON has it: tuples are lists, keys are strings. Raises PermanentError for what it cannot hold."""
    return json.loads(json.dumps(storable(value, what, STEP_BYTES)))


def digest_of(task_id: UUID, type_name: str, payload: Any) -> str:
    """The type, and a digest of the payload that says nothing of it: equal for an equal question of the same task."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return f"{type_name} {hashlib.sha256(f'{task_id} {text}'.encode()).hexdigest()[:32]}"


def group_digest(task_id: UUID, children: Sequence[Child]) -> str:
    """The same of many; the first word says how many of which types."""
    types = "+".join(sorted({each.type for each in children}))
    whole = hashlib.sha256()
    for each in children:
        whole.update(digest_of(task_id, each.type, each.payload).encode())
    return f"{len(children)}*{types} {whole.hexdigest()[:32]}"


def said_of(kind: str, digest: str | None) -> str:
    """A step as people read it: its kind, and what it calls."""
    words = {"once": "once()", "sleep": "sleep()", "signal": "wait_for()", "gather": "gather()", "call": "call()"}
    word = words.get(kind, kind)
    return word if not digest else f"{word} of {digest.rpartition(' ')[0]}"
