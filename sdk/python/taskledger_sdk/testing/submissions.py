"""What a handler submits in a test: checked as far as that is possible without the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from taskledger_sdk.context import SubmitOptions
from taskledger_sdk.errors import PayloadRefused, PermanentError
from taskledger_sdk.registry import find_type


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A task that a handler has submitted; `options` are those that it gave."""

    id: UUID
    type: str
    payload: Any
    key: str | None
    now: bool
    attempt: int
    options: Mapping[str, Any]


def submission(
    type_name: str, payload: Any, *, key: str | None, now: bool, attempt: int, options: Mapping[str, Any]
) -> Submission:
    """Check a call of task.submit(). Raises PermanentError for what the worker would refuse.

    The payload is held against its type where this process knows it; the types of the service and of other packages
    it does not.
    """
    where = f"task.submit({type_name!r})"
    if now and key is None:
        raise PermanentError(f"{where}: now=True needs a key, or another attempt would submit the same again")
    if unknown := sorted(set(options) - set(SubmitOptions.__annotations__)):
        known = ", ".join(SubmitOptions.__annotations__)
        raise PermanentError(f"{where}: there is no option {', '.join(unknown)}; known: {known}")
    try:
        copied = json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PermanentError(f"{where}: payload: is not JSON: {error}") from None
    kind = find_type(type_name)
    if kind is not None:
        try:
            kind.payload.load(copied)
        except PayloadRefused as error:
            raise PermanentError(f"{where}: {error}") from None
    return Submission(
        id=uuid4(), type=type_name, payload=copied, key=key, now=now, attempt=attempt, options=dict(options)
    )
