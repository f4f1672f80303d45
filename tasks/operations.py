"""What can be asked of a row: conditions, derived columns, measures, keys; tasks.tables does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import add, mod, mul, sub, truediv
from typing import Annotated, Any, Literal

from marshmallow import ValidationError
from marshmallow.validate import Length

from taskledger_sdk.payload import rule
from taskledger_sdk.payload.fields import wrong
from taskledger_sdk.payload.rules import NO_NUL

MAX_VALUES = 1000
MAX_PLACES = 30
NUMBER = re.compile(r"\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?\s*")
Column = Annotated[str, rule(Length(min=1, max=200))]
SCALAR = {"type": ["string", "number", "boolean"], "pattern": NO_NUL}
TAKES = {"in": "a list", "not_in": "a list", "null": "none", "not_null": "none"}
SEARCHES = ("contains", "starts_with", "ends_with")
ARITHMETIC = {"add": add, "subtract": sub, "multiply": mul, "divide": truediv, "remainder": mod}
ROUNDINGS = ("abs", "ceil", "floor", "round")
ARGUMENTS = {"round": (1, 2), "concat": (1, 10), "replace": (3, 3), "coalesce": (1, 10)}


def _one(value: Any) -> None:
    if not (value is None or _is_scalar(value)):
        raise wrong("a string, a number or a boolean", value)


def _one_or_many(value: Any) -> None:
    if not isinstance(value, list):
        _one(value)
    elif len(value) > MAX_VALUES or not all(map(_is_scalar, value)):
        raise ValidationError(f"must be a list of at most {MAX_VALUES} strings, numbers and booleans")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A column compared with a value; `in` and `not_in` take a list of values, `null` and `not_null` none."""

    column: Column
    op: Literal[
        "eq", "ne", "lt", "le", "gt", "ge", "in", "not_in", "contains", "starts_with", "ends_with", "null", "not_null"
    ]
    value: Any = rule(
        _one_or_many,
        default=None,
        schema={"anyOf": [SCALAR, {"type": "null"}, {"type": "array", "items": SCALAR, "maxItems": MAX_VALUES}]},
    )

    def __post_init__(self) -> None:
        if self.op in ("in", "not_in"):
            fits = isinstance(self.value, list) and len(self.value) > 0
        elif self.op in ("null", "not_null"):
            fits = self.value is None
        elif self.op in SEARCHES:
            fits = isinstance(self.value, str)
        else:
            fits = _is_scalar(self.value)
        if not fits:
            raise ValueError(f"value does not fit {self.op}, which takes {TAKES.get(self.op, 'one value')}")


@dataclass(frozen=True, kw_only=True)
class Argument:
    """A column of the row, or a value."""

    column: Column | None = None
    value: Any = rule(_one, default=None, schema={"anyOf": [SCALAR, {"type": "null"}]})

    def __post_init__(self) -> None:
        if (self.column is None) == (self.value is None):
            raise ValueError("give either column or value")


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A new column, made by a function."""

    name: Column
    function: Literal[
        "add", "subtract", "multiply", "divide", "remainder", "abs", "ceil", "floor", "round", "upper", "lower", "trim",
        "length", "concat", "replace", "coalesce", "year", "month", "day",
    ]  # fmt: skip
    arguments: list[Argument] = rule(Length(min=1, max=10))

    def __post_init__(self) -> None:
        fixed = (2, 2) if self.function in ARITHMETIC else (1, 1)
        least, most = ARGUMENTS.get(self.function, fixed)
        if not least <= len(self.arguments) <= most:
            raise ValueError(f"{self.function} takes {least if least == most else f'{least} to {most}'} arguments")
        if self.function in ARITHMETIC or self.function in ROUNDINGS:
            for argument in self.arguments:
                if argument.column is None and not _is_number(argument.value):
                    raise ValueError(f"{self.function} takes numbers, not {argument.value!r}")
        if self.function == "round" and len(self.arguments) == most:
            places = self.arguments[1].value
            if isinstance(places, str) or places is None or places != int(places) or abs(places) > MAX_PLACES:
                raise ValueError(f"round takes as its second argument a whole number of at most {MAX_PLACES}")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number a group; `count` without a column counts rows."""

    name: Column
    function: Literal["count", "count_distinct", "sum", "avg", "min", "max", "median", "stddev"]
    column: Column | None = None

    def __post_init__(self) -> None:
        if self.column is None and self.function != "count":
            raise ValueError(f"{self.function} needs a column")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A column to sort by; empty values come last."""

    column: Column
    descending: bool = False


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)
