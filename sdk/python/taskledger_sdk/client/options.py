"""What a submission may say, and how it becomes JSON. Pure."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Required, TypedDict
from uuid import UUID

from taskledger_sdk.context import SubmitOptions
from taskledger_sdk.http.errors import Unsendable
from taskledger_sdk.typed_payloads import JSON_NAME, UNSET, ValuePayload

Unique = TypedDict("Unique", {"by": Required[Sequence[str]], "for": int | None, "states": Sequence[str]}, total=False)
"""No second task of the same kind: `by` names what makes two alike, `for` is in seconds."""


class TaskOptions(SubmitOptions, total=False):
    """What submit() takes besides type, payload and id: the options of POST /tasks. Moments are aware."""

    unique: Unique | None
    queue: str | None


class ChangeOptions(TypedDict, total=False):
    """What change() takes: what is left out stays, None takes back, labels are replaced as a whole."""

    payload: Any
    name: str | None
    priority: Literal["high", "normal", "low"]
    scheduled_at: datetime | None
    max_retries: int
    timeout: int | None
    labels: Mapping[str, str]
    expires_at: datetime | None
    callback_url: str | None


class ScheduleOptions(TypedDict, total=False):
    """What a schedule says besides its name: `cron` or `run_at`, and `task` (as a submission) or `workflow`."""

    cron: str | None
    run_at: datetime | None
    run_if_past: bool
    time_zone: str
    task: Mapping[str, Any]
    workflow: Mapping[str, Any]
    misfire: str
    misfire_cap: int
    overlap: str
    jitter_seconds: int
    starts_at: datetime | None
    ends_at: datetime | None
    enabled: bool


class TriggerOptions(TypedDict, total=False):
    """What a trigger says besides its event: `task` (a submission of templates) or `workflow`, and when."""

    name: str | None
    when: Any
    task: Mapping[str, Any]
    workflow: Mapping[str, Any]
    enabled: bool


def as_json(value: Any) -> bytes:
    """JSON in UTF-8, on one line. Raises Unsendable.

    Besides what JSON has: aware datetimes, dates, UUIDs, decimals (as text), enums, mappings, sequences, dataclasses.
    """
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"This cannot be sent as JSON: {error}.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"the moment {value.isoformat()} has no time zone: give one, such as datetime.UTC")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)  # 100, and not 1E+2
    if isinstance(value, Enum):
        return _member(value)
    if isinstance(value, ValuePayload):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} has no place in JSON")


def _member(value: Enum) -> Any:
    if value is UNSET:
        raise TypeError("UNSET leaves out a field of a payload's class, and stands nowhere else")
    return value.value


def _fields(value: Any) -> dict[str, Any]:
    """Of a dataclass: by their names in JSON, without those that are left out."""
    pairs = ((each.metadata.get(JSON_NAME, each.name), getattr(value, each.name)) for each in dataclasses.fields(value))
    return {name: each for name, each in pairs if each is not UNSET}


# json.dumps would make one at each call, which takes as long as a small submission.
_encode = json.JSONEncoder(default=_plain, allow_nan=False, separators=(",", ":")).encode
