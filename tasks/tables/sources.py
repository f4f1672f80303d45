"""Sources: the files that tables are read from, how they are said to be written, and what a check found in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from marshmallow.validate import Length, Regexp

from taskledger_sdk.errors import PermanentError
from taskledger_sdk.payload import rule

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
Kind: TypeAlias = Literal["text", "number", "float", "date", "moment", "boolean"]
Encoding: TypeAlias = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "iso-8859-2", "iso-8859-15", "windows-1250",
    "windows-1251", "windows-1252", "cp437", "cp850", "mac-roman", "koi8-r", "shift_jis", "euc-jp", "euc-kr", "gb18030",
    "big5",
]  # fmt: skip
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
MAX_CHARACTERS = 1_000_000  # of a line and of a cell; a quote that is never closed must not fill the memory
MAX_COLUMNS = 10_000
CHECKED_BYTES = 1 << 30  # of what is written anew for the engine
MAX_TOLD = 200  # columns whose types stand in the result
# Which options say something about a file of which format.
OPTIONS: dict[Format, tuple[str, ...]] = {
    "csv": ("delimiter", "quote", "encoding", "decimal", "header"),
    "jsonl": ("encoding",),
    "parquet": (),
}
Tick: TypeAlias = Callable[[float], None]
"""Called now and then with the share of a file that was read, 0 to 1; what it raises ends the reading."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is to be read; what is left out is assumed, and what was assumed stands in the result."""

    delimiter: str | None = rule(
        Length(equal=1),
        Regexp("[^\\r\\n\\u0000\\ufeff]"),
        default=None,
        description="Between two cells of a CSV file. Left out: a comma, or a tab in a file named .tsv",
    )
    quote: str | None = rule(
        Length(max=1),
        Regexp("[^\\r\\n\\u0000\\ufeff]?"),
        default=None,
        description='Around a cell of a CSV file; empty for a file without quotes. Left out: "',
    )
    encoding: Encoding | None = rule(
        default=None, description="Of a CSV or JSON lines file. Left out: as its byte order mark says, else UTF-8"
    )
    decimal: Literal[".", ","] | None = rule(
        default=None, description="Before the fraction of the numbers in a CSV file. Left out: a point"
    )
    header: bool = rule(
        default=True,
        description="Whether the first line of a CSV file names the columns; if not, they are column1, column2 …",
    )
    types: dict[str, Kind] = rule(
        Length(max=1000),
        default_factory=dict,
        description="What the cells of columns are; a cell that is none fails the task. Left out: texts, which are "
        "read as numbers, dates or moments where an operation needs them",
    )

    def __post_init__(self) -> None:
        if self.quote is not None and self.quote == (self.delimiter or ","):
            raise ValueError("delimiter and quote must not be the same")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read: where it is, how it is written, and what people call it."""

    path: Path
    format: Format
    name: str
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        for option in OPTIONS["csv"]:
            if option not in OPTIONS[self.format] and getattr(self.reading, option) not in (None, True):
                raise PermanentError(
                    f"{option} says nothing about {self.name}, a file of format {self.format}; leave it out"
                )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file that was read from its first to its last byte and is sound; `path` is what the engine reads of it.

    `names` are None for Parquet, which the engine itself reads. `line_of` gives the line in which a row begins; rows
    are counted from 0, lines from 1. `types` fills while the engine finds out what the cells of columns are.
    """

    source: Source
    path: Path
    names: tuple[str, ...] | None = None
    rows: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    engine_options: dict[str, str] = field(default_factory=dict)
    blank_lines: int = 0
    types: dict[str, Kind] = field(default_factory=dict)
    line_of: Callable[[int], int] | None = None

    def told(self) -> dict[str, Any]:
        """How the file was read, for the result: what the caller said, and what was assumed."""
        reading = self.source.reading
        assumed = [option for option in self.options if getattr(reading, option) is None]
        assumed += [f"types.{name}" for name in self.types if name not in reading.types]
        types = dict(list({**self.types, **reading.types}.items())[:MAX_TOLD])
        made = {"dataset": self.source.name, "format": self.source.format, "rows": self.rows, **self.options}
        blank = {"blank_lines": self.blank_lines} if self.blank_lines else {}
        return {**made, **blank, "types": types, "assumed": assumed[:MAX_TOLD]}


def refused(source: Source, line: int | None, what: str) -> PermanentError:
    """The refusal of a file that cannot be read as it was said to be written, with the line at fault."""
    return PermanentError(f"{source.name}: {what}" if line is None else f"{source.name}, line {line}: {what}")


def bounded(source: Source, file: IO[Any]) -> None:
    """Raise PermanentError if what is written anew for the engine has become too large."""
    if os.fstat(file.fileno()).st_size > CHECKED_BYTES:
        raise refused(source, None, f"it takes more than {CHECKED_BYTES:,} bytes to be read; make it smaller")


def check_width(source: Source, line: int, width: int) -> None:
    """Raise PermanentError for more columns than can be worked with."""
    if width > MAX_COLUMNS:
        raise refused(source, line, f"with it the file has {width:,} columns; at most {MAX_COLUMNS:,} can be read")


def format_of(name: str, media_type: str = "") -> Format | None:
    """How a file is written, by its name, else by its media type."""
    return FORMATS.get(Path(name).suffix.lower()) or FORMATS.get(media_type.partition(";")[0].strip().lower())
