"""Ordering: rows sorted, and the first rows of those that agree; rows that are equal stay in the order of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.operations import Key
from tasks.tables.columns import Column, Table, fresh
from tasks.tables.filtering import ordering
from tasks.tables.kinds import identity


def sorted_by(table: Table, keys: Sequence[Key], limit: int | None = None) -> Table:
    """The rows in order; a column is ordered as numbers, dates or moments if all its cells are, else as texts."""
    from duckdb import SQLExpression

    place = fresh()
    made = []
    for key in keys:
        value = SQLExpression(ordering(table, table.column(key.column)).sql)
        made.append((value.desc() if key.descending else value.asc()).nulls_last())
    rows = table.rows.project(f"*, row_number() OVER () AS {place}").sort(*made, SQLExpression(place).asc())
    return replace(table, rows=rows if limit is None else rows.limit(limit), checked=None)


def deduplicated(table: Table, names: Sequence[str]) -> Table:
    """The first row of those that agree in the columns (in all columns, when none are named)."""
    columns: Sequence[Column] = [table.column(name) for name in names] if names else table.columns
    place, first = fresh(), fresh()
    numbered = table.rows.project(f"*, row_number() OVER () AS {place}")
    keys = ", ".join(dict.fromkeys(identity(column) for column in columns))
    firsts = numbered.aggregate(f"min({place}) AS {first}", keys)
    rows = numbered.set_alias("ours").join(firsts.set_alias("firsts"), f"{place} = {first}", how="semi").order(place)
    return replace(table, rows=rows, checked=None)
