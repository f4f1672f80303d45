"""PayloadSpec: what a task type accepts, to load it strictly and to say the same in JSON Schema."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

from marshmallow import ValidationError, fields

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.payload.annotations import field_of
from taskledger_sdk.payload.containers import describe
from taskledger_sdk.payload.fields import Code, Message
from taskledger_sdk.payload.rules import Rule

MAX_MESSAGES = 50


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place of a payload; `code` is None where a rule of the type refused a value."""

    path: tuple[str, ...]
    message: str
    code: Code | None


class PayloadCheck(Protocol):
    """What decides whether a payload is accepted, and says so in JSON Schema."""

    def __hash__(self) -> int: ...

    def load(self, data: Any) -> Any:
        """Turn parsed JSON into what the handler takes. Raises PayloadRefused with the path of each fault."""

    def faults(self, data: Any) -> list[Fault]:
        """The first faults of a payload, none when it fits."""

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the payload, complete in itself: no reference to anywhere."""


@dataclass(frozen=True, eq=False)
class PayloadSpec:
    """What a task type accepts: `field` validates, and apispec turns it into JSON Schema."""

    field: fields.Field[Any]

    @classmethod
    def of(cls, annotation: Any, *, examples: Sequence[Any] = (), where: str = "payload") -> PayloadSpec:
        """Make the spec of an annotation. Raises BadDeclaration, naming `where`, for one it cannot say strictly."""
        return cls(field_of(annotation, where, Rule(examples=tuple(examples)), required=True))

    def load(self, data: Any) -> Any:
        """Turn parsed JSON into what the handler takes. Raises PayloadRefused with the path of each fault."""
        try:
            return self.field.deserialize(data)
        except ValidationError as fault:
            raise PayloadRefused({"payload": _readable(fault.messages, [MAX_MESSAGES])}) from None

    def faults(self, data: Any) -> list[Fault]:
        """The first faults of a payload, none when it fits: what `load` says, with its codes."""
        try:
            self.field.deserialize(data)
        except ValidationError as fault:
            return list(islice(_faults(fault.messages, ()), MAX_MESSAGES))
        return []

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the payload, complete in itself: no reference to anywhere."""
        return copy.deepcopy(self._json_schema)

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        return describe(self.field)


def _faults(messages: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    """The leaves of nested messages; what concerns an object as a whole stands below `_schema`."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from _faults(below, path if key == "_schema" else (*path, clean(str(key))))
    else:
        for message in messages:
            yield Fault(path, clean(message), message.code if isinstance(message, Message) else None)


def _readable(messages: Any, left: list[int]) -> Any:
    """The first messages, fit to be stored, sent and logged: keys, and values quoted in messages, come from outside."""
    if isinstance(messages, str):
        return clean(messages)
    if not isinstance(messages, Mapping):
        left[0] -= 1
        return [_readable(message, left) for message in messages]
    kept: dict[str, Any] = {}
    for key, below in messages.items():
        if left[0] <= 0:
            break
        kept[clean(str(key))] = _readable(below, left)
    return kept


def clean(text: str) -> str:
    """The text so short, and of such characters, that it can be stored, sent and logged."""
    return text[:300].encode(errors="backslashreplace").decode().replace("\x00", "\\u0000")
