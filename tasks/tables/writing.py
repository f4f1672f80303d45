"""Writing: rows as CSV, JSON lines or Parquet, and the first of them as JSON for the result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from taskledger_sdk.errors import PermanentError
from tasks.tables.columns import Column, Table, unique
from tasks.tables.engine import Engine
from tasks.tables.kinds import cell_of
from tasks.tables.sources import Format

if TYPE_CHECKING:
    from duckdb import Expression

QUOTE = '"'
SHOWN_CHARACTERS, SHOWN_BYTES = 200, 50_000
MAX_READ = 1 << 30
NESTED = ("STRUCT", "MAP", "UNION", "JSON")
JSON_NUMBER = "-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?"
# A JSON text has no control characters, so none of these can be in it: every line is written as it is.
AS_IS = "FORMAT csv, HEADER false, DELIMITER '\x1f', QUOTE '', ESCAPE ''"
OPTIONS: dict[Format, str] = {
    "csv": "FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR ''",
    "jsonl": AS_IS,
    "parquet": "FORMAT parquet",
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file that was made: what stands before its rows, where these are, how many, and the first of them."""

    head: bytes
    path: Path
    rows: int
    preview: list[dict[str, Any]]

    def open(self) -> BinaryIO:
        """The whole file, to be read from its start to its end."""
        return io.BufferedReader(_Joined(self.head, self.path))


class _Joined(io.RawIOBase):
    """A head and a file, read as one: the engine would rename columns whose names differ in case only."""

    def __init__(self, head: bytes, path: Path) -> None:
        super().__init__()
        self._parts: list[io.BytesIO | io.BufferedReader] = [io.BytesIO(head), path.open("rb")]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        for part in self._parts:
            count = part.readinto(buffer)
            if count:
                return count
        return 0

    def close(self) -> None:
        for part in self._parts:
            part.close()
        super().close()


def write(engine: Engine, table: Table, form: Format, *, preview: int) -> Written:
    """Write rows into a new file, and read the first `preview` of them again."""
    columns = unique(table.columns)
    path = engine.output_folder / f"result.{form}"
    engine.go_on()
    table.rows.select(*_cells(columns, form)).create_view("result")
    # The only SQL text here: it holds a path that is ours, and a format.
    [(count,)] = engine.connection.execute(f"COPY result TO '{path}' ({OPTIONS[form]})").fetchall()
    head = _line([column.name for column in columns]).encode() if form == "csv" else b""
    names = [column.name for column in columns]
    shown = _fitting(_first(engine, path, form, names, preview)) if count else []
    return Written(head=head, path=path, rows=count, preview=shown)


def _cells(columns: Sequence[Column], form: Format) -> list[Expression]:
    from duckdb import SQLExpression

    if form == "jsonl":
        return [_object(columns)]
    if form == "csv":
        if len(columns) == 1:  # a row with nothing in it would be a blank line, which many readers pass over
            return [SQLExpression(f"COALESCE({columns[0].text}, '')").alias(columns[0].inner)]
        return [SQLExpression(column.text).alias(column.inner) for column in columns]
    lower: dict[str, str] = {}
    for column in columns:
        other = lower.setdefault(column.name.lower(), column.name)
        if other != column.name:
            raise PermanentError(
                f"Parquet cannot be written with both columns {other!r} and {column.name!r}, as their names differ in "
                "case only; choose another output, or rename one of them"
            )
        if not column.name:
            raise PermanentError("Parquet cannot be written with a column that has no name; choose another output")
    return [SQLExpression(_value(column)).alias(column.name) for column in columns]


def _value(column: Column) -> str:
    if column.said is not None and column.said.kind != "text":
        return column.said.sql
    return column.inner if column.form == "typed" else column.text


def _object(columns: Sequence[Column]) -> Expression:
    """A row as a JSON object; fields that were missing stay missing."""
    from duckdb import CaseExpression, ConstantExpression, FunctionExpression, SQLExpression

    members = []
    for column in columns:
        key = ConstantExpression(f"{json.dumps(column.name, ensure_ascii=False)}:")
        value = SQLExpression(_json(column))
        member = FunctionExpression("concat", key, value)
        members.append(CaseExpression(value.isnotnull(), member) if column.form == "json" else member)
    joined = FunctionExpression("concat_ws", ConstantExpression(","), *members)
    return FunctionExpression("concat", ConstantExpression("{"), joined, ConstantExpression("}")).alias("line")


def _json(column: Column) -> str:
    """A cell as the text of a JSON value: SQL."""
    if column.form == "json":
        return column.inner
    text = f"CAST(to_json({column.text}) AS VARCHAR)"
    kind = _kind(column)
    if kind == "number":
        # What the caller said is a number is one in JSON, too; in its own digits where JSON allows them.
        cell = cell_of(column) if column.form == "text" else column.text
        normal = f"CAST({column.said.sql} AS VARCHAR)" if column.said else cell
        value = f"CASE WHEN regexp_full_match({cell}, '{JSON_NUMBER}') THEN {cell} ELSE {normal} END"
    elif kind == "float":
        number = column.said.sql if column.said else column.inner
        value = f"CASE WHEN isfinite({number}) THEN CAST({number} AS VARCHAR) ELSE {text} END"
    elif kind == "boolean":
        value = f"CAST({column.said.sql if column.said else column.inner} AS VARCHAR)"
    elif kind == "nested":
        value = f"CAST(to_json({column.inner}) AS VARCHAR)"
    else:
        value = text
    return f"COALESCE({value}, 'null')"


def _kind(column: Column) -> str:
    if column.said is not None:
        return column.said.kind
    if column.form == "text" or column.type == "VARCHAR":
        return "text"
    if column.type.startswith(NESTED) or column.type.endswith("]"):
        return "nested"
    if column.type in ("FLOAT", "DOUBLE"):
        return "float"
    if column.type == "BOOLEAN":
        return "boolean"
    return "number" if column.type.startswith("DECIMAL") or column.type.endswith(("INT", "INTEGER")) else "text"


def _first(engine: Engine, path: Path, form: Format, names: list[str], most: int) -> list[dict[str, Any]]:
    """The first rows, as they were written."""
    if form == "parquet":
        rows: list[Any] = engine.connection.read_parquet(str(path)).limit(most).fetchall()
    else:
        with path.open(encoding="utf-8", newline="") as file:
            if form == "jsonl":
                return [_plain(json.loads(line, parse_float=str)) for line in islice(file, most)]
            csv.field_size_limit(MAX_READ)  # a computed cell may be longer than any that was read
            rows = [[cell or None for cell in row] or [None] for row in islice(csv.reader(file), most)]
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first rows that fit into a result."""
    left = SHOWN_BYTES

    def fit(row: dict[str, Any]) -> bool:
        nonlocal left
        left -= len(json.dumps(row))
        return left >= 0

    return [row for row in rows if fit(row)]


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates, decimals and the like become strings, long texts are cut."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _line(cells: list[str]) -> str:
    r"""A line of CSV; Python's writer would leave a bare \r without quotes."""
    return (
        ",".join(f'"{cell.replace(QUOTE, QUOTE * 2)}"' if _needs_quotes(cell, cells) else cell for cell in cells) + "\n"
    )


def _needs_quotes(cell: str, cells: list[str]) -> bool:
    return any(each in cell for each in ',"\r\n') or cells == [""] or cell.startswith("\ufeff")
