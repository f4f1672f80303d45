"""Deriving: new columns from the cells of a row. Numbers are exact decimals, unless a column is of floats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskledger_sdk.errors import PermanentError
from tasks.operations import ARITHMETIC, ROUNDINGS, Argument, Derived
from tasks.tables.arithmetic import Operand, quotient, remainder
from tasks.tables.columns import Column, Form, Table, fresh
from tasks.tables.filtering import number
from tasks.tables.kinds import cell_of, decided, typed

if TYPE_CHECKING:
    from duckdb import Expression

PARTS = {"year": (1, 4), "month": (6, 2), "day": (9, 2)}


def derived(table: Table, columns: Sequence[Derived]) -> Table:
    """The table with these columns; a later one may use an earlier one, and one that exists is replaced."""
    for each in columns:
        table = _with(table, each)
    return table


def _with(table: Table, wanted: Derived) -> Table:
    inner = fresh()
    form, value, digits = _made(table, wanted)
    made = table.adding([value.alias(inner)])
    type_ = str(made.rows.types[-1])
    form = "text" if form == "typed" and type_ == "VARCHAR" else form
    column = Column(name=wanted.name, inner=inner, form=form, type=type_, digits=digits, decimal=_decimal(table))
    if any(each.name == wanted.name for each in table.columns):
        columns = tuple(column if each.name == wanted.name else each for each in table.columns)
    else:
        columns = (*table.columns, column)
    return replace(made, columns=columns)


def _decimal(table: Table) -> str:
    return table.columns[0].decimal


def _made(table: Table, wanted: Derived) -> tuple[Form, Expression, int | None]:
    """How the cells are held, what they are, and the digits that they show at least."""
    from duckdb import FunctionExpression

    function, arguments = wanted.function, wanted.arguments
    if function in ARITHMETIC:
        value, digits = _computed(function, *(_operand(table, each) for each in arguments))
        return "typed", value, digits
    if function in ROUNDINGS:
        operand = _operand(table, arguments[0])
        places = [_places(arguments[1])] if len(arguments) > 1 else []
        return "typed", FunctionExpression(function, operand.value, *places), None
    if function in PARTS:
        return "typed", _part(table, function, arguments[0]), None
    if function == "coalesce":
        return _coalesced(table, arguments)
    texts = [_text(table, each) for each in arguments]
    return "typed", FunctionExpression(function, *texts), None


def _operand(table: Table, argument: Argument) -> Operand:
    from duckdb import ConstantExpression, SQLExpression, decimal_type

    if argument.column is not None:
        cells = typed(table, table.column(argument.column), ("number",))
        return Operand(value=SQLExpression(cells.sql), digits=cells.digits)
    try:
        value = number(argument.value)
    except ValueError:
        raise PermanentError(f"the value {str(argument.value)[:80]!r} is not a number of at most 38 digits") from None
    digits = max(0, -int(value.as_tuple().exponent))
    whole = max(len(value.as_tuple().digits), digits)
    return Operand(value=ConstantExpression(value).cast(decimal_type(whole, digits)), digits=digits)


def _computed(function: str, left: Operand, right: Operand) -> tuple[Expression, int | None]:
    from duckdb import CaseExpression, ConstantExpression

    exact = left.digits is not None and right.digits is not None
    one, other = (left.wide(), right.wide()) if exact else (left.floating(), right.floating())
    if function in ("divide", "remainder"):
        if exact:
            made = quotient if function == "divide" else remainder
            return made(left, right), max(left.digits or 0, right.digits or 0)
        value = ARITHMETIC[function](one, other)
        return CaseExpression(other != ConstantExpression(0), value), None
    return ARITHMETIC[function](one, other), None


def _places(argument: Argument) -> Expression:
    from duckdb import ConstantExpression

    return ConstantExpression(int(argument.value))


def _part(table: Table, function: str, argument: Argument) -> Expression:
    """The year, month or day as it is written; in Parquet files as it is kept."""
    from duckdb import FunctionExpression, SQLExpression

    if argument.column is None:
        raise PermanentError(f"{function} takes a column")
    column = table.column(argument.column)
    cells = typed(table, column, ("date", "moment"))
    if column.form == "typed" and column.type != "VARCHAR":
        return FunctionExpression(function, SQLExpression(cells.sql))
    start, length = PARTS[function]
    return SQLExpression(f"CAST(substr({cell_of(column)}, {start}, {length}) AS BIGINT)")


def _coalesced(table: Table, arguments: Sequence[Argument]) -> tuple[Form, Expression, int | None]:
    """The first that is not empty: as JSON values if all are, as numbers if all are, else as texts."""
    from duckdb import CoalesceOperator, ConstantExpression, SQLExpression

    columns = [table.column(each.column) for each in arguments if each.column is not None]
    if columns and all(column.form == "json" for column in columns):
        values = [
            SQLExpression(f"NULLIF({table.column(each.column).inner}, 'null')")
            if each.column is not None
            else ConstantExpression(json.dumps(each.value, ensure_ascii=False))
            for each in arguments
        ]
        return "json", CoalesceOperator(*values), None
    if _are_numbers(table, columns, arguments):
        operands = [_operand(table, each) for each in arguments]
        exact = all(operand.digits is not None for operand in operands)
        return "typed", CoalesceOperator(*(each.value if exact else each.floating() for each in operands)), None
    return "typed", CoalesceOperator(*(_text(table, each) for each in arguments)), None


def _are_numbers(table: Table, columns: Sequence[Column], arguments: Sequence[Argument]) -> bool:
    values = [each.value for each in arguments if each.column is None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    return bool(columns) and all(
        column.form == "typed" and column.type != "VARCHAR" and decided(table, column, ("number",)) is not None
        for column in columns
    )


def _text(table: Table, argument: Argument) -> Expression:
    from duckdb import ConstantExpression, SQLExpression

    if argument.column is not None:
        return SQLExpression(table.column(argument.column).text)
    return ConstantExpression(_written(argument.value))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
