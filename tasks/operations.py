"""What can be asked of a row: conditions, derived columns, measures, keys; and each as an expression of DuckDB.

Nothing of a payload ever becomes SQL text: names become column expressions, values constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import add, eq, ge, gt, le, lt, mod, mul, ne, sub, truediv
from typing import TYPE_CHECKING, Annotated, Any, Literal

from marshmallow import ValidationError
from marshmallow.validate import Length

from tasks.payload import rule
from tasks.rules import NO_NUL

if TYPE_CHECKING:
    from duckdb import Expression

MOST_VALUES = 1000
Column = Annotated[str, rule(Length(min=1, max=200))]
SCALAR = {"type": ["string", "number", "boolean"], "pattern": NO_NUL}
COMPARISONS = {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}
TAKES = {"in": "a list", "not_in": "a list", "null": "none", "not_null": "none"}
SEARCHES = ("contains", "starts_with", "ends_with")
ARITHMETIC = {"add": add, "subtract": sub, "multiply": mul, "divide": truediv, "remainder": mod}
ARGUMENTS = {"round": (1, 2), "concat": (1, 10), "replace": (3, 3), "coalesce": (1, 10)}


def _one(value: Any) -> None:
    if not (value is None or _is_scalar(value)):
        raise ValidationError("must be a string, a number or a boolean")


def _one_or_many(value: Any) -> None:
    if not isinstance(value, list):
        _one(value)
    elif len(value) > MOST_VALUES or not all(map(_is_scalar, value)):
        raise ValidationError(f"must be a list of at most {MOST_VALUES} strings, numbers and booleans")


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
        schema={"anyOf": [SCALAR, {"type": "null"}, {"type": "array", "items": SCALAR, "maxItems": MOST_VALUES}]},
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


def as_condition(condition: Condition, kind: Any) -> Expression:
    from duckdb import ColumnExpression, ConstantExpression, FunctionExpression
    from duckdb.sqltypes import VARCHAR

    column, value = ColumnExpression(condition.column), condition.value

    def constant(each: Any) -> Expression:
        # A text beside a date or a number is read as one; a text that is none is refused instead of matching nothing.
        made = ConstantExpression(each)
        return made.cast(kind) if isinstance(each, str) and kind is not None and kind != VARCHAR else made

    if condition.op in ("null", "not_null"):
        return column.isnull() if condition.op == "null" else column.isnotnull()
    if condition.op in ("in", "not_in"):
        listed = column.isin(*map(constant, value))
        return listed if condition.op == "in" else ~listed
    if condition.op in SEARCHES:
        return FunctionExpression(condition.op, column.cast(VARCHAR), ConstantExpression(value))
    compared: Expression = COMPARISONS[condition.op](column, constant(value))
    return compared


def computed(derived: Derived) -> Expression:
    from duckdb import CoalesceOperator, ColumnExpression, ConstantExpression, FunctionExpression

    arguments = [
        ConstantExpression(each.value) if each.column is None else ColumnExpression(each.column)
        for each in derived.arguments
    ]
    if derived.function in ARITHMETIC:
        made: Expression = ARITHMETIC[derived.function](*arguments)
        return made
    if derived.function == "coalesce":
        return CoalesceOperator(*arguments)
    return FunctionExpression(derived.function, *arguments)


def measured(measure: Measure) -> Expression:
    from duckdb import ColumnExpression, FunctionExpression, StarExpression

    column = StarExpression() if measure.column is None else ColumnExpression(measure.column)
    if measure.function == "count_distinct":
        return FunctionExpression("list_unique", FunctionExpression("list", column)).alias(measure.name)
    return FunctionExpression(measure.function, column).alias(measure.name)


def ordered(key: Key) -> Expression:
    from duckdb import ColumnExpression

    column = ColumnExpression(key.column)
    return (column.desc() if key.descending else column.asc()).nulls_last()


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
