"""Kinds: whether the cells of a column are numbers, dates or moments, decided over all of them.

All SQL here is over names of ours; no text from outside becomes a part of it. Numbers become decimals that are wide
enough for each of them, so nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from taskledger_sdk.errors import PermanentError
from tasks.tables.columns import Column, Table, Typed
from tasks.tables.sources import Kind

MAX_DIGITS = 38
MAX_SHOWN = 80  # characters of a cell in a message
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = "[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?"
ZONE = "(?:Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)"
EXPECTED: dict[Kind, str] = {
    "number": "a number",
    "float": "a number",
    "date": "a date (YYYY-MM-DD)",
    "moment": "a moment (YYYY-MM-DD HH:MM:SS, all with an offset or all without)",
    "boolean": "true or false",
    "text": "a text",
}
NATIVE: dict[Kind, tuple[str, ...]] = {
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
    "moment": ("TIMESTAMP",),
    "float": ("FLOAT", "DOUBLE"),
    "number": ("DECIMAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
               "UBIGINT", "UHUGEINT"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Width:
    """The most digits of a column before and behind the point."""

    whole: int
    fraction: int


def declared(table: Table, kinds: dict[str, Kind]) -> Table:
    """The table with what the caller said of its columns. Raises PermanentError for the first cell that is none."""
    columns = {table.column(name).inner: kind for name, kind in kinds.items()}
    made = []
    for column in table.columns:
        kind = columns.get(column.inner)
        made.append(column if kind is None else replace(column, said=typed(table, column, (kind,))))
    return replace(table, columns=tuple(made))


def typed(table: Table, column: Column, wanted: Sequence[Kind]) -> Typed:
    """The column as the first of the wanted kinds that all its cells are. Raises PermanentError, naming a line."""
    found = decided(table, column, wanted)
    if found is not None:
        return found
    if column.form == "typed" and column.type != "VARCHAR":
        raise PermanentError(f"column {column.name!r} is {column.type}, not {_either(wanted)}")
    if column.said is not None:
        raise PermanentError(f"column {column.name!r} is {column.said.kind}, as types says, not {_either(wanted)}")
    kind = wanted[-1]
    row, cell = _first_other(table, column, kind)
    shown = cell if len(cell) <= MAX_SHOWN else f"{cell[:MAX_SHOWN]}…"
    raise PermanentError(
        f"{table.place_of(row)}: {shown!r} in column {column.name!r} is not {_either(wanted)}; mend the cell, or keep "
        "such rows out with a filter first"
    )


def decided(table: Table, column: Column, wanted: Sequence[Kind]) -> Typed | None:
    """The column as the first of the wanted kinds that all its cells are; None if it is none of them."""
    if column.said is not None:
        if column.said.kind in wanted:
            return column.said
        return column.said if column.said.kind == "float" and "number" in wanted else None
    if column.form == "typed" and column.type != "VARCHAR":
        return native(column, wanted)
    for kind in wanted:
        if kind == "text":
            return Typed(kind="text", sql=column.text)
        found = _number(table, column, kind) if kind in ("number", "float") else _other(table, column, kind)
        if found is not None:
            table.note(column, kind)
            return found
    return None


def native(column: Column, wanted: Sequence[Kind]) -> Typed | None:
    """The column as DuckDB has typed it already, if that is one of the wanted kinds; None otherwise."""
    for kind, types in NATIVE.items():
        if not column.type.startswith(types) or column.type.endswith("]"):
            continue
        if kind == "moment" and kind in wanted and "ZONE" in column.type:
            return Typed(kind=kind, sql=f"CAST({column.inner} AS TIMESTAMPTZ)")
        if kind == "number" and "float" in wanted and "number" not in wanted:
            return Typed(kind="float", sql=f"CAST({column.inner} AS DOUBLE)")
        if kind == "number" and "number" in wanted:
            digits = int(column.type.rpartition(",")[2].rstrip(")")) if column.type.startswith("DECIMAL") else 0
            sql = column.inner if column.type.startswith("DECIMAL") else f"CAST({column.inner} AS DECIMAL(38,0))"
            return Typed(kind="number", sql=sql, digits=digits)
        if kind in wanted or (kind == "float" and "number" in wanted):
            return Typed(kind=kind, sql=column.inner)
    return Typed(kind="text", sql=column.text) if "text" in wanted else None


def known_kind(column: Column) -> Kind | None:
    """What the cells are without looking at them, because the caller or a Parquet file says so."""
    if column.said is not None:
        return column.said.kind
    if column.form != "typed" or column.type == "VARCHAR":
        return None
    found = native(column, ("number", "float", "date", "moment", "boolean", "text"))
    return None if found is None else found.kind


def identity(column: Column) -> str:
    """What makes two cells the same: their values where these are known, else their texts. SQL."""
    if column.said is not None:
        return column.said.sql
    return column.inner if column.form == "typed" else column.text


def cell_of(column: Column) -> str:
    """The cell without spaces around it, and NULL if nothing is left: what values are read from."""
    return f"NULLIF(trim({column.text}), '')"


def _pattern(column: Column) -> str:
    point = "," if column.decimal == "," else "[.]"
    return f"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"


def _is(column: Column, kind: Kind, cell: str = "cell", *, zoned: bool = False) -> str:
    """Whether a cell is of a kind: SQL."""
    if kind in ("number", "float"):
        return f"regexp_full_match({cell}, '{_pattern(column)}')"
    if kind == "date":
        return f"(regexp_full_match({cell}, '{DAY}') AND TRY_CAST({cell} AS DATE) IS NOT NULL)"
    if kind == "boolean":
        return f"(lower({cell}) IN ('true', 'false'))"
    shape, type_ = (f"{DAY}[ Tt]{CLOCK}{ZONE}", "TIMESTAMPTZ") if zoned else (f"{DAY}(?:[ Tt]{CLOCK})?", "TIMESTAMP")
    return f"(regexp_full_match({cell}, '{shape}') AND TRY_CAST({_clock(cell)} AS {type_}) IS NOT NULL)"


def _clock(cell: str) -> str:
    """A moment as the engine reads it: with seconds."""
    return f"regexp_replace({cell}, '^([^:]*:[0-9]{{2}})($|[^0-9:])', '\\1:00\\2')"


def _number(table: Table, column: Column, kind: Kind) -> Typed | None:
    return (_plain_number(table, column) if kind == "number" else None) or _any_number(table, column, kind)


def _plain_number(table: Table, column: Column) -> Typed | None:
    """The numbers of most files, found with one quick question: no spaces, no powers, and not very long."""
    if column.form != "text" or column.decimal != ".":
        return None
    cell = column.inner
    behind = f"CASE WHEN contains({cell}, '.') THEN strlen({cell}) - strpos({cell}, '.') ELSE 0 END"
    plain = f"regexp_full_match({cell}, '[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)')"
    question = f"count({cell}), count_if({plain}), max(strlen({cell})), max({behind})"
    [(cells, numbers, longest, fraction)] = table.rows.aggregate(question).fetchall()
    if not cells or numbers < cells or longest + fraction > MAX_DIGITS:
        return None
    return Typed(kind="number", sql=f"CAST({cell} AS DECIMAL({longest + fraction},{fraction}))", digits=fraction)


def _any_number(table: Table, column: Column, kind: Kind) -> Typed | None:
    point = column.decimal
    [counts] = _ask(
        table,
        column,
        f"count(cell), count_if({_is(column, 'number')}), count_if(contains(lower(cell), 'e')), "
        f"max(CASE WHEN contains(cell, '{point}') THEN length(cell) - strpos(cell, '{point}') ELSE 0 END), "
        f"max(length(ltrim(split_part(cell, '{point}', 1), '+-0')))",
    )
    cells, numbers, powers, fraction, whole = (each or 0 for each in counts)
    if numbers < cells:
        return None
    plain = cell_of(column) if point == "." else f"replace({cell_of(column)}, ',', '.')"
    if kind == "float":
        return Typed(kind="float", sql=f"CAST({plain} AS DOUBLE)")
    width = _Width(whole=whole, fraction=fraction) if not powers else _width_of_powers(table, column)
    if width is None or width.whole + width.fraction > MAX_DIGITS:
        raise PermanentError(
            f"column {column.name!r} holds numbers that need more than {MAX_DIGITS} digits together, so they cannot "
            f'be computed exactly; to compute with floating point, set types to {{"{column.name}": "float"}}'
        )
    digits = max(1, width.whole + width.fraction)
    return Typed(kind="number", sql=f"CAST({plain} AS DECIMAL({digits},{width.fraction}))", digits=width.fraction)


def _width_of_powers(table: Table, column: Column) -> _Width | None:
    """The digits of a column in which numbers such as 1.5e-3 stand; None for powers beyond all bounds."""
    number = "replace(lower(cell), ',', '.')"
    power = f"CASE WHEN contains({number}, 'e') THEN TRY_CAST(split_part({number}, 'e', 2) AS INTEGER) ELSE 0 END"
    base = f"split_part({number}, 'e', 1)"
    fraction = f"length(split_part({base}, '.', 2))"
    whole = f"length(ltrim(split_part({base}, '.', 1), '+-'))"
    [(cells, known, most_fraction, most_whole)] = _ask(
        table,
        column,
        f"count(cell), count({power}), max({fraction} - ({power})), max({whole} + ({power}))",
    )
    if known < cells:
        return None
    return _Width(whole=max(0, most_whole), fraction=max(0, most_fraction))


def _other(table: Table, column: Column, kind: Kind) -> Typed | None:
    [(cells, plain, zoned)] = _ask(
        table,
        column,
        f"count(cell), count_if({_is(column, kind)}), "
        + (f"count_if({_is(column, kind, zoned=True)})" if kind == "moment" else "0"),
    )
    cell = cell_of(column)
    if cells and zoned == cells:
        return Typed(kind="moment", sql=f"CAST({_clock(cell)} AS TIMESTAMPTZ)")
    if plain < cells:
        return None
    casts = {"date": f"CAST({cell} AS DATE)", "moment": f"CAST({_clock(cell)} AS TIMESTAMP)"}
    return Typed(kind=kind, sql=casts.get(kind, f"(lower({cell}) = 'true')"))


def _first_other(table: Table, column: Column, kind: Kind) -> tuple[int, str]:
    """The first cell that is not of a kind, with the number of its row, counted from 0."""
    zoned = False
    if kind == "moment":
        [(some,)] = _ask(table, column, f"count_if({_is(column, kind, zoned=True)})")
        [(others,)] = _ask(table, column, f"count_if({_is(column, kind)})")
        zoned = some > others
    numbered = table.rows.project(f"row_number() OVER () - 1 AS number, {cell_of(column)} AS cell")
    found = numbered.filter(f"cell IS NOT NULL AND NOT {_is(column, kind, zoned=zoned)}").limit(1).fetchall()
    return found[0] if found else (0, "")


def _ask(table: Table, column: Column, questions: str) -> list[Any]:
    return table.rows.project(f"{cell_of(column)} AS cell").aggregate(questions).fetchall()


def _either(wanted: Sequence[Kind]) -> str:
    return " or ".join(dict.fromkeys(EXPECTED[kind] for kind in wanted))
