"""Columns and tables: rows in the engine under names of ours, and what people call the columns.

The engine compares names without case, and renames what it finds twice. So it never sees a name from outside: a column
is called x1, x2 … in there. Names from outside are compared exactly: `Id` and `id` are two columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from taskledger_sdk.errors import PermanentError
from tasks.tables.sources import Checked, Kind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

Form: TypeAlias = Literal["text", "json", "typed"]
MAX_SHOWN = 20
_numbers = count(1)


def fresh() -> str:
    """A name for the engine that no other column has."""
    return f"x{next(_numbers)}"


@dataclass(frozen=True, kw_only=True)
class Typed:
    """The cells of a column as values: SQL over names of ours, and for exact numbers the digits behind the point."""

    kind: Kind
    sql: str
    digits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: what people call it, what the engine calls it, and how its cells are held.

    As `text` (empty cells are NULL), as the text of a `json` value (missing fields are NULL), or as what the engine has
    `typed`: the columns of Parquet, and computed ones. `said` is what the caller said its cells are. A computed number
    shows at least `digits` digits behind the point, and no zeros behind these.
    """

    name: str
    inner: str
    form: Form
    type: str = "VARCHAR"
    said: Typed | None = None
    decimal: str = "."
    digits: int | None = None

    @property
    def text(self) -> str:
        """The cell as people read it: SQL."""
        if self.form == "text":
            return self.inner
        if self.form == "typed":
            return _shown(self)
        return (
            f"CASE WHEN {self.inner} = 'null' THEN NULL WHEN starts_with({self.inner}, '\"') "
            f"THEN json_extract_string({self.inner}, '$') ELSE {self.inner} END"
        )


def _shown(column: Column) -> str:
    text = f"CAST({column.inner} AS VARCHAR)"
    if column.digits is None:
        return text
    if column.digits == 0:
        return f"regexp_replace({text}, '\\.?0*$', '')" if _has_point(column.type) else text
    return f"regexp_replace({text}, '(\\.[0-9]{{{column.digits}}}[0-9]*?)0+$', '\\1')"


def _has_point(type_: str) -> bool:
    return type_.startswith("DECIMAL(") and not type_.endswith(",0)")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows in the engine, their columns, and the file they come from."""

    connection: DuckDBPyConnection
    rows: DuckDBPyRelation
    columns: tuple[Column, ...]
    checked: Checked | None = None

    def column(self, name: str) -> Column:
        """The column of this name. Raises PermanentError with what was probably meant."""
        found = next((column for column in self.columns if column.name == name), None)
        if found is not None:
            return found
        raise PermanentError(self._unknown(name))

    def adding(self, expressions: Iterable[Any]) -> Table:
        """The rows with more values, which have aliases of ours; they are no columns."""
        from duckdb import StarExpression

        made = list(expressions)
        return replace(self, rows=self.rows.select(StarExpression(), *made)) if made else self

    def kept(self) -> Table:
        """The same rows, computed once: each question about them would compute them anew."""
        name = fresh()
        self.rows.create(name)
        return replace(self, rows=self.connection.table(name))

    def note(self, column: Column, kind: Kind) -> None:
        """Keep as what the cells of a column of the file were read; the result tells it."""
        if self.checked is not None and column.name in (self.checked.names or ()):
            self.checked.types[column.name] = kind

    def place_of(self, row: int) -> str:
        """Where a row, counted from 0, stands in its file."""
        if self.checked is None:
            return f"row {row + 1}"
        name = self.checked.source.name
        return f"{name}, row {row + 1}" if self.checked.line_of is None else f"{name}, line {self.checked.line_of(row)}"

    def _unknown(self, name: str) -> str:
        names = [column.name for column in self.columns]
        told = f"there is no column {name!r}"
        if self.checked is not None:
            told += f" in {self.checked.source.name}"
        lower = {each.lower(): each for each in names}
        near = get_close_matches(name.lower(), lower, n=1)
        if near:
            told += f"; did you mean {lower[near[0]]!r}? Names are compared exactly, with their case"
        shown = ", ".join(repr(each) for each in names[:MAX_SHOWN])
        told += f". Its columns: {shown}{' …' if len(names) > MAX_SHOWN else ''}"
        if len(names) == 1 and self.checked is not None and self.checked.source.format == "csv":
            told += "; if these are several, set delimiter"
        return told[:1500]


def moved(column: Column, inner: str) -> Column:
    """The same column under another name of the engine."""
    if column.said is None:
        return replace(column, inner=inner)
    sql = re.sub(rf"\b{column.inner}\b", inner, column.said.sql)
    return replace(column, inner=inner, said=replace(column.said, sql=sql))


def unique(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, if all have names of their own. Raises PermanentError."""
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise PermanentError(f"the result would have two columns {column.name!r}; give one of them another name")
        seen.add(column.name)
    return tuple(columns)
