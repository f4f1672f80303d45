"""Joining: rows of two tables that have the same values in some columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.tables.columns import Column, Table, fresh, unique
from tasks.tables.kinds import known_kind, typed


def joined(left: Table, right: Table, on: Sequence[str], how: str) -> Table:
    """Rows together; empty cells are the same as nothing. Columns that both have get `_other` behind their name."""
    same = []
    for name in on:
        ours, theirs = left.column(name), right.column(name)
        same.append("({}) = ({})".format(*_comparable(left, ours, right, theirs)))
    rows = left.rows.set_alias("ours").join(right.rows.set_alias("theirs"), " AND ".join(same), how=how)
    columns, values = [], []
    names = {column.name for column in left.columns}
    for column in left.columns:
        kept = column
        if column.name in on and how == "outer":
            kept, value = _either(column, right.column(column.name))
            values.append(value)
        columns.append(kept)
    columns += [
        replace(column, name=f"{column.name}_other") if column.name in names else column
        for column in right.columns
        if column.name not in on
    ]
    made = rows.project(f"*, {', '.join(values)}") if values else rows
    return replace(left, rows=made, columns=unique(columns), checked=None)


def _comparable(left: Table, ours: Column, right: Table, theirs: Column) -> tuple[str, str]:
    """Two columns as values that can be compared: as the caller or a Parquet file says, else as texts."""
    kind = known_kind(ours) or known_kind(theirs)
    if kind is None or kind == "text":
        return ours.text, theirs.text
    return typed(left, ours, (kind,)).sql, typed(right, theirs, (kind,)).sql


def _either(ours: Column, theirs: Column) -> tuple[Column, str]:
    """The column that has a cell of either side."""
    inner = fresh()
    if (ours.form, ours.type) == (theirs.form, theirs.type):
        return replace(ours, inner=inner, said=None), f"COALESCE({ours.inner}, {theirs.inner}) AS {inner}"
    made = Column(name=ours.name, inner=inner, form="text", decimal=ours.decimal)
    return made, f"COALESCE({ours.text}, {theirs.text}) AS {inner}"
