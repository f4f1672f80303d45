"""Grouping: one row a group, or one in all; sums, means and medians of exact decimals are exact decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.operations import Key, Measure
from tasks.tables.arithmetic import Operand, quotient
from tasks.tables.columns import Column, Table, fresh, moved, unique
from tasks.tables.filtering import ordering
from tasks.tables.kinds import MAX_DIGITS, identity, typed
from tasks.tables.ordering import sorted_by

if TYPE_CHECKING:
    from duckdb import Expression


def grouped(table: Table, group_by: Sequence[str], measures: Sequence[Measure]) -> Table:
    """The groups in order, each with its measures."""
    groups = [table.column(name) for name in group_by]
    shown: list[Column] = []
    asked: list[str] = []
    for column in groups:
        shown.append(moved(column, fresh()))
        asked.append(f"first({column.inner}) AS {shown[-1].inner}")
    made = [_Measured(table, measure) for measure in measures]
    for each in made:
        asked += each.asked
    by = ", ".join(dict.fromkeys(identity(column) for column in groups))
    rows = table.rows.aggregate(", ".join(asked), by) if by else table.rows.aggregate(", ".join(asked))
    found = _finished(replace(table, rows=rows, columns=tuple(shown), checked=None).kept(), made)
    return sorted_by(found, [Key(column=column.name) for column in shown]) if shown else found


def _finished(table: Table, measured: Sequence[_Measured]) -> Table:
    """The table with the columns of the measures, some of which are computed from what was asked."""
    from duckdb import ColumnExpression

    values = [ColumnExpression(column.inner) for column in table.columns]
    inner = [fresh() for _ in measured]
    rows = table.rows.select(*values, *(each.value().alias(name) for each, name in zip(measured, inner, strict=True)))
    types = rows.types[len(values) :]
    columns = [
        replace(each.column(name), type=str(type_)) for each, name, type_ in zip(measured, inner, types, strict=True)
    ]
    return replace(table, rows=rows, columns=unique([*table.columns, *columns]))


class _Measured:
    """A measure: what is asked of a group, and what is made of it."""

    def __init__(self, table: Table, measure: Measure) -> None:
        self.measure = measure
        self.source = None if measure.column is None else table.column(measure.column)
        self.digits: int | None = None
        self.parts = [fresh()]
        asked = self._asked(table)
        self.asked = [f"{each} AS {name}" for each, name in zip(asked, self.parts, strict=True)]

    def _asked(self, table: Table) -> list[str]:
        function, source = self.measure.function, self.source
        if source is None:
            return ["count(*)"]
        if function == "count":
            return [f"count({source.text})"]
        if function == "count_distinct":
            return [f"count(DISTINCT {identity(source)})"]
        if function in ("min", "max"):
            cells = ordering(table, source)
            # The cell as it is written, of the row that has the least or greatest value.
            return [f"arg_{function}({source.inner}, {cells.sql})"]
        cells = typed(table, source, ("number",))
        self.digits = cells.digits
        if function == "avg" and cells.digits is not None:
            self.parts.append(fresh())
            return [f"sum({cells.sql})", f"count({cells.sql})"]
        if function == "median" and cells.digits is not None:
            # The middle of two decimals may have one digit more.
            wide = min(cells.digits + 1, MAX_DIGITS)
            return [f"median(CAST({cells.sql} AS DECIMAL({MAX_DIGITS},{wide})))"]
        if function == "stddev":
            return [f"stddev(CAST({cells.sql} AS DOUBLE))"]
        return [f"{function}({cells.sql})"]

    def value(self) -> Expression:
        """The measure, from what was asked."""
        from duckdb import ColumnExpression

        first = ColumnExpression(self.parts[0])
        if len(self.parts) == 1:
            return first
        return quotient(
            Operand(value=first, digits=self.digits), Operand(value=ColumnExpression(self.parts[1]), digits=0)
        )

    def column(self, inner: str) -> Column:
        """The column of the measure."""
        if self.measure.function in ("min", "max") and self.source is not None:
            return replace(moved(self.source, inner), name=self.measure.name)
        digits = self.digits if self.measure.function in ("avg", "median") else None
        return Column(name=self.measure.name, inner=inner, form="typed", digits=digits)
