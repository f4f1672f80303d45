"""Filtering: the rows for which conditions hold. Values of a payload become constants, never SQL text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import TYPE_CHECKING, Any

from taskledger_sdk.errors import PermanentError
from tasks.operations import SEARCHES, Condition
from tasks.tables.columns import Column, Table, Typed
from tasks.tables.kinds import CLOCK, DAY, EXPECTED, MAX_DIGITS, ZONE, decided, native, typed
from tasks.tables.sources import Kind

if TYPE_CHECKING:
    from duckdb import Expression

COMPARISONS = {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}
NUMBER = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?")
MOMENT = re.compile(f"{DAY}[ Tt]{CLOCK}({ZONE})?")


def filtered(table: Table, conditions: Sequence[Condition], match: str) -> Table:
    """The rows for which all (or any) of the conditions hold, in the order of the file."""
    made = [_condition(table, condition) for condition in conditions]
    return replace(table, rows=table.rows.filter(reduce(and_ if match == "all" else or_, made)))


def _condition(table: Table, condition: Condition) -> Expression:
    from duckdb import ConstantExpression, FunctionExpression, SQLExpression

    column, value = table.column(condition.column), condition.value
    text = SQLExpression(column.text)
    if condition.op in ("null", "not_null"):
        return text.isnull() if condition.op == "null" else text.isnotnull()
    if condition.op in SEARCHES:
        return FunctionExpression(condition.op, text, ConstantExpression(value))
    if condition.op in ("in", "not_in"):
        listed = reduce(or_, (_listed(table, column, each) for each in _alike(value)))
        return listed if condition.op == "in" else ~listed
    cells = _equal(table, column, value) if condition.op in ("eq", "ne") else _ordered(table, column, value)
    compared: Expression = COMPARISONS[condition.op](SQLExpression(cells.sql), constant(cells, value, column))
    return compared


def _alike(values: list[Any]) -> list[list[Any]]:
    """The values apart by type, as each type is compared in its own way."""
    kinds: dict[type, list[Any]] = {}
    for value in values:
        kinds.setdefault(float if type(value) is int else type(value), []).append(value)
    return list(kinds.values())


def _listed(table: Table, column: Column, values: list[Any]) -> Expression:
    from duckdb import SQLExpression

    cells = _equal(table, column, values[0])
    return SQLExpression(cells.sql).isin(*(constant(cells, value, column) for value in values))


def _equal(table: Table, column: Column, value: Any) -> Typed:
    """What a value is compared with for equality: texts with texts, numbers with numbers."""
    if isinstance(value, bool):
        return typed(table, column, ("boolean",))
    if not isinstance(value, str):
        return typed(table, column, ("number",))
    return _known(column) or Typed(kind="text", sql=column.text)


def _known(column: Column) -> Typed | None:
    """What the cells are without looking at them: because the caller or a Parquet file says so."""
    if column.said is not None:
        return column.said
    if column.form != "typed" or column.type == "VARCHAR":
        return None
    return native(column, ("number", "float", "date", "moment", "boolean", "text"))


def _ordered(table: Table, column: Column, value: Any) -> Typed:
    """What a value is compared with for order; a text that looks like a number or a date asks for a column of these."""
    if isinstance(value, bool):
        return typed(table, column, ("boolean",))
    if not isinstance(value, str):
        return typed(table, column, ("number",))
    known = _known(column)
    if known is not None:
        return known
    if NUMBER.fullmatch(value):
        return typed(table, column, ("number",))
    if re.fullmatch(DAY, value):
        return typed(table, column, ("date", "moment"))
    if MOMENT.fullmatch(value):
        return typed(table, column, ("moment",))
    return ordering(table, column)


def ordering(table: Table, column: Column) -> Typed:
    """The column as what all its cells are: numbers, else dates, else moments, else texts."""
    found = decided(table, column, ("number", "date", "moment", "text"))
    return found or Typed(kind="text", sql=column.text)


def constant(cells: Typed, value: Any, column: Column) -> Expression:
    """A value of the payload, as it is compared with these cells. Raises PermanentError if it is none."""
    from duckdb import ConstantExpression

    try:
        return ConstantExpression(_read(cells, value))
    except (ValueError, InvalidOperation):
        raise PermanentError(
            f"the value {str(value)[:80]!r} is not {EXPECTED[cells.kind]}, as the cells of column {column.name!r} are"
        ) from None


def _read(cells: Typed, value: Any) -> Any:
    kind: Kind = cells.kind
    if kind == "number":
        return number(value)
    if kind == "float":
        return float(value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "moment":
        moment = datetime.fromisoformat(value.replace("z", "Z").replace("t", "T"))
        if (moment.tzinfo is not None) != ("TIMESTAMPTZ" in cells.sql):
            raise ValueError(value)
        return moment
    if kind == "boolean":
        if str(value).lower() not in ("true", "false"):
            raise ValueError(value)
        return str(value).lower() == "true"
    return value


def number(value: Any) -> Decimal:
    """A number of a payload, exactly as it was written. Raises ValueError for what is none or has too many digits."""
    if isinstance(value, bool) or (isinstance(value, str) and not NUMBER.fullmatch(value.strip())):
        raise ValueError(value)
    made = Decimal(repr(value) if isinstance(value, float) else str(value))
    _, digits, exponent = made.as_tuple()
    if not isinstance(exponent, int) or max(len(digits) + max(exponent, 0), -exponent) > MAX_DIGITS:
        raise ValueError(value)
    return made.quantize(Decimal(1)) if exponent > 0 else made
