"""Fields of answers and query strings that taskledger_sdk.payload.fields, made for payloads, does not have."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.clock import rfc_3339
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.containers import each_of
from taskledger_sdk.payload.rules import NO_NUL
from taskledger_sdk.registry import TYPE_NAME
from tasks.masking import masked


class Instant(ma.fields.DateTime):
    """A moment in an answer: RFC 3339, in UTC, with Z."""

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else rfc_3339(value)


class QueryMoment(strict.Moment):
    """A moment in a query string, where an unescaped + has become a space."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        return super()._deserialize(value[:19] + value[19:].replace(" ", "+"), *args, **kwargs)


class Few(ma.fields.List[Any]):
    """A list in a request: what is wrong with its first items is told, because all of it could be seconds of work."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise strict.wrong("a list", value)
        return [item for _, item in each_of(self.inner, enumerate(value))]


class Several(Few):
    """A query parameter that may be repeated, and whose values may be joined by commas."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return super()._deserialize([part for each in value for part in each.split(",")], *args, **kwargs)


class Verbatim(ma.fields.Raw):
    """A JSON value whose schema is given as it is; its check is elsewhere (a payload: its type, in the service)."""

    def __init__(self, schema: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.schema = schema


class ShownPayload(Verbatim):
    """A task's payload without what its type declares secret."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        return super()._serialize(masked(obj.type, value), attr, obj, **options)


def verbatim_schema(_converter: Any, field: ma.fields.Field[Any], **_: Any) -> dict[str, Any]:
    """The schema of a Verbatim field, for apispec, which calls this with each field."""
    return dict(field.schema) if isinstance(field, Verbatim) else {}


def one_of(words: Any, **options: Any) -> strict.Choice:
    """A string that is one of an enumeration's."""
    metadata = {
        "type": "string",
        "enum": [*(word.value for word in words), *([None] if options.get("allow_none") else [])],
    }
    return strict.Choice(
        [(word.value, word.value) for word in words], metadata={**metadata, **options.pop("metadata", {})}, **options
    )


def text(longest: int, **options: Any) -> strict.Text:
    """A string of 1 to `longest` characters that PostgreSQL can store."""
    metadata = {"pattern": NO_NUL, **options.pop("metadata", {})}
    length = validate.Length(1, longest, error="must have {min} to {max} characters")
    return strict.Text(validate=[length], metadata=metadata, **options)


def matching(pattern: str, fault: str, *, longest: int | None = None, **options: Any) -> strict.Text:
    """A string of at most `longest` characters that matches a pattern as a whole; `fault` says that one does not."""
    whole_text = re.compile(pattern)

    def check(value: str) -> None:
        if not whole_text.fullmatch(value):
            raise ma.ValidationError(fault)

    checks: list[Callable[[str], object]] = [check]
    if longest is not None:
        checks.insert(0, validate.Length(max=longest, error="must have at most {max} characters"))
    return strict.Text(validate=checks, metadata={"pattern": f"^{pattern}$", **options.pop("metadata", {})}, **options)


def type_name(**options: Any) -> strict.Text:
    """The name of a task type, whether or not there is one of this name."""
    return matching(TYPE_NAME.pattern, "is no name of a task type", **options)


def whole(lowest: int, highest: int, **options: Any) -> strict.Whole:
    """An integer in a range, both ends included."""
    return strict.Whole(validate=[validate.Range(lowest, highest, error="must be from {min} to {max}")], **options)
