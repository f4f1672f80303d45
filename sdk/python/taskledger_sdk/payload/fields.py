"""Strict marshmallow fields for single values: as JSON Schema sees them, never turned from one type into another."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields
from marshmallow.types import ErrorMessages

from taskledger_sdk.payload.mail_addresses import ADDRESS_SCHEMA, canonical

WHOLE_DIGITS = r"(?:0|[1-9][0-9]{0,17})"
# The hour is one of 24: Python 3.14 takes 24:00 for midnight, RFC 3339 and older ones do not.
RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LARGEST = sys.float_info.max
# The same as a schema writes it, 1.7976931348623157e+308, and as a decimal that is a little less than the float.
LARGEST_WHOLE = int(Decimal(repr(LARGEST)))
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def json_name(value: object) -> str:
    """What a client calls the type of this value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


class Code(StrEnum):
    """Why a value was refused, for programs; what a rule of its own refuses has no code."""

    WRONG_TYPE = "wrong_type"
    UNKNOWN_FIELD = "unknown_field"


class Message(str):
    """A message of a ValidationError with its code."""

    code: Code

    @classmethod
    def of(cls, code: Code, text: str) -> Message:
        """The message of this code."""
        made = cls(text)
        made.code = code
        return made


def wrong(expected: str, value: object) -> ValidationError:
    """The refusal of a value of the wrong type."""
    return ValidationError(Message.of(Code.WRONG_TYPE, f"must be {expected}, not {json_name(value)}"))


class Unstorable(ValidationError, ValueError):
    """PostgreSQL cannot store this text; a ValueError too, for callers that have no schema around them."""


def storable(value: str) -> str:
    """Give back the text. Raises Unstorable if PostgreSQL refuses it in text or jsonb."""
    if "\x00" in value:
        raise Unstorable("must not contain NUL characters (\\u0000)")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unstorable("must not contain lone surrogates (\\ud800 to \\udfff)") from None
    return value


class Strict(fields.Field[Any]):
    """What all fields here share: short messages, and validators called without marshmallow's wrapper (2 us a load)."""

    default_error_messages: ErrorMessages = {"required": "is missing", "null": "must not be null"}

    def _validate(self, value: Any) -> None:
        for check in self.validators:
            check(value)


class Text(Strict, fields.String):
    """A string that PostgreSQL can store."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise wrong("a string", value)
        return storable(value)


class MailAddress(Text):
    """An e-mail address without a name; its value is in the form in which addresses are stored and compared."""

    def __init__(self, **options: Any) -> None:
        metadata = {**ADDRESS_SCHEMA, **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = super()._deserialize(value)
        try:
            return canonical(text)
        except ValueError as fault:
            raise ValidationError(str(fault)) from None


class Whole(Strict, fields.Integer):
    """An integer. As in JSON Schema 3.0 is one, True and "3" are not."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise (
                wrong("a whole number", value)
                if not isinstance(value, float)
                else ValidationError("must be a whole number, without a fraction")
            )
        return value


class Real(Strict, fields.Float):
    """A finite number, as a float."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong("a number", value)
        # Compared before it is converted: an integer just above the largest float would be rounded down to it.
        largest = LARGEST_WHOLE if isinstance(value, int) else LARGEST
        if not -largest <= value <= largest:
            raise ValidationError(f"must be a finite number, at most {LARGEST} either way")
        return float(value)


class Flag(Strict, fields.Boolean):
    """True or false, and nothing that resembles them."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong("true or false", value)
        return value


class Exact(Strict, fields.Field[Decimal]):
    """A decimal number, sent as a string: a JSON number may become a float on its way, and floats are no money."""

    def __init__(self, *, pattern: str, **options: Any) -> None:
        super().__init__(**options)
        self.pattern = re.compile(pattern)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Decimal:
        if not isinstance(value, str):
            raise wrong('a decimal number in a string such as "12.50"', value)
        if not self.pattern.fullmatch(value):
            raise ValidationError(f'must be a decimal number such as "12.50" that matches {self.pattern.pattern}')
        return Decimal(value) + 0  # "-0" becomes 0

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return None if value is None else format(Decimal(value), "f")


class Day(Strict, fields.Date):
    """A date without a time: 2026-01-31."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dt.date:
        if not isinstance(value, str):
            raise wrong("a date such as 2026-01-31", value)
        try:
            return dt.date.fromisoformat(value if DATE.fullmatch(value) else "")
        except ValueError:
            raise ValidationError("must be a date such as 2026-01-31") from None


class Moment(Strict, fields.DateTime):
    """An RFC 3339 moment with its offset, as an aware datetime in UTC."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dt.datetime:
        if not isinstance(value, str):
            raise wrong("a moment such as 2026-01-31T09:00:00Z", value)
        try:
            return _moment(value)
        except (ValueError, OverflowError):
            raise ValidationError("must be a moment with its offset, such as 2026-01-31T09:00:00Z") from None


class Identifier(Strict, fields.UUID):
    """A UUID in its usual form with four hyphens."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> UUID:
        if not isinstance(value, str):
            raise wrong("a UUID in a string", value)
        if not UUID_TEXT.fullmatch(value):
            raise ValidationError("must be a UUID such as 018f3c5e-7d2a-7000-8000-0123456789ab")
        return UUID(value)


class Choice(Strict, fields.Raw):
    """One of a few strings, numbers or booleans; `choices` maps what is sent to what the handler gets."""

    def __init__(self, choices: Sequence[tuple[Any, Any]], **options: Any) -> None:
        super().__init__(**options)
        # 1 == True in Python and not in JSON, so that the key tells booleans apart.
        self.values = {(isinstance(sent, bool), sent): value for sent, value in choices}
        self.sent = [sent for sent, _ in choices]

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        key = (isinstance(value, bool), value) if isinstance(value, str | int | float) else (False, None)
        if key not in self.values:
            raise ValidationError(f"must be one of {', '.join(map(json.dumps, self.sent))}")
        return self.values[key]

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        same = (key[1] for key, known in self.values.items() if known == value and type(known) is type(value))
        return next(same, value)


class Json(Strict, fields.Raw):
    """Any JSON value whose texts PostgreSQL can store."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        rest = [value]  # a stack of our own, because a deep document would exhaust Python's
        while rest:
            part = rest.pop()
            if isinstance(part, str):
                storable(part)
            elif isinstance(part, list):
                rest.extend(part)
            elif isinstance(part, dict):
                rest.extend(part.values())
                rest.extend(part)
            elif isinstance(part, float):
                if not math.isfinite(part):
                    raise ValidationError("must not contain NaN or Infinity")
            elif part is not None and not isinstance(part, int):
                raise wrong("a JSON value", part)
        return value


def _moment(text: str) -> dt.datetime:
    parts = RFC_3339.fullmatch(text)
    if not parts:
        raise ValueError(text)
    day, minute, second, fraction, offset = parts.groups(default="")
    # A leap second is valid in RFC 3339 and unknown to Python: it becomes the second after, as POSIX clocks count.
    leap = dt.timedelta(seconds=1) if second == "60" else dt.timedelta()
    second = "59" if leap else second
    moment = dt.datetime.fromisoformat(f"{day}T{minute}:{second}{fraction}{offset.upper()}")
    return (moment + leap).astimezone(dt.UTC)
