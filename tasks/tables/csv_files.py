"""CSV files: every line is looked at before the engine reads the file, and a file that is not sound is refused.

Two ways. A plain file (UTF-8 without mark or quotes, one kind of line end, the same number of cells in each line) can
be read in one way only, so the engine reads it as it lies there. Any other is read by Python's csv module, and written
anew for the engine in the one form that has no variants.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, islice, repeat
from pathlib import Path
from typing import Any

from tasks.tables.encodings import encoding_of, lines_of, mark_of
from tasks.tables.sources import MAX_CHARACTERS, Checked, Source, Tick, bounded, check_width, refused

CHUNK_BYTES = 1 << 20
BATCH_ROWS = 2_000
PLAIN_DELIMITERS = ",;\t|:"
# The engine misreads some files with \r\n (DuckDB 2.0.0 finds one row in 'a,b\r\nx,2\r\n'), so it never sees one.
CLEAN = {"delim": ",", "quote": '"', "escape": '"', "new_line": "\\n", "skip": "0"}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a CSV file is written, after everything that was not said was assumed."""

    delimiter: str
    quote: str
    encoding: str
    decimal: str
    header: bool


def check(source: Source, folder: Path, tick: Tick) -> Checked:
    """Read the whole file, and say how the engine reads it. Raises PermanentError, naming the line."""
    reading = source.reading
    dialect = Dialect(
        delimiter=reading.delimiter or ("\t" if source.name.lower().endswith(".tsv") else ","),
        quote='"' if reading.quote is None else reading.quote,
        encoding=encoding_of(source),
        decimal=reading.decimal or ".",
        header=reading.header,
    )
    return _plain(source, dialect, folder, tick) or _rewritten(source, dialect, folder, tick)


def _plain(source: Source, dialect: Dialect, folder: Path, tick: Tick) -> Checked | None:
    r"""The file as it lies there, if there is only one way to read it; with \n for each \r\n, if it has these."""
    if dialect.encoding != "utf-8" or dialect.delimiter not in PLAIN_DELIMITERS or mark_of(source.path):
        return None
    lines, header, end = 0, None, None
    for chunk in _whole_lines(source, tick):
        end = end or _line_end(chunk)
        texts = _plain_lines(chunk, dialect, end)
        if not texts:
            return None
        header = texts[0] if header is None else header
        if set(map(str.count, texts, repeat(dialect.delimiter))) != {header.count(dialect.delimiter)}:
            return None
        lines += len(texts)
    if header is None or (dialect.header and not header):
        return None  # nothing, or blank lines above the header
    skipped = int(dialect.header)
    return Checked(
        source=source,
        path=source.path if end == b"\n" else _with_newlines(source, folder),
        names=_names(source, dialect, header.split(dialect.delimiter)),
        rows=lines - skipped,
        options=dict(vars(dialect)),
        engine_options={**CLEAN, "delim": dialect.delimiter, "quote": "", "escape": "", "skip": str(skipped)},
        line_of=lambda row: row + 1 + skipped,
    )


def _plain_lines(chunk: bytes, dialect: Dialect, end: bytes | None) -> list[str]:
    """The lines of a piece without their ends; none if it holds what can be read in several ways."""
    quote = dialect.quote.encode()
    if end is None or end != _line_end(chunk) or b"\0" in chunk or (quote and quote in chunk):
        return []
    try:
        texts = (chunk if end == b"\n" else chunk.replace(end, b"\n")).decode().split("\n")
    except UnicodeDecodeError:
        return []
    if not texts[-1]:
        texts.pop()
    return texts if max(map(len, texts)) <= MAX_CHARACTERS else []


def _with_newlines(source: Source, folder: Path) -> Path:
    target = folder / f"checked-{len(list(folder.iterdir()))}.csv"
    with target.open("wb") as file:
        for chunk in _whole_lines(source, lambda _: None):
            file.write(chunk.replace(b"\r\n", b"\n"))
            bounded(source, file)
    return target


def _whole_lines(source: Source, tick: Tick) -> Iterator[bytes]:
    """The file in pieces that end with a line."""
    size = max(1, source.path.stat().st_size)
    rest = b""
    with source.path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            cut = piece.rfind(b"\n") + 1
            if cut:
                yield rest + piece[:cut]
                rest = piece[cut:]
            else:
                rest += piece
            if len(rest) > 4 * MAX_CHARACTERS:
                break  # the slower way says which line is too long
            tick(file.tell() / size)
    if rest:
        yield rest


def _line_end(chunk: bytes) -> bytes | None:
    """The one line end of a piece; None if there are several."""
    returns = chunk.count(b"\r")
    if not returns:
        return b"\n"
    # A last line without an end has no \\r either.
    return b"\r\n" if returns == chunk.count(b"\r\n") == chunk.count(b"\n") else None


def _rewritten(source: Source, dialect: Dialect, folder: Path, tick: Tick) -> Checked:
    """The rows written anew: commas, quotes where needed, one kind of line end."""
    target = folder / f"checked-{len(list(folder.iterdir()))}.csv"
    rows = (row for _, row in _numbered(source, dialect, tick))
    blank, first = _first(rows)
    if not first:
        raise refused(source, None, "it is empty; a CSV file has at least a line that names its columns")
    width = len(first)
    count = 0
    start = [first] if not dialect.header else []
    if start and width == 1:
        start, blank = [*([[""]] * blank), first], 0
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        while batch := [*start, *islice(rows, BATCH_ROWS)]:
            start = []
            if set(map(len, batch)) != {width}:
                batch, skipped = _without_blank_lines(source, dialect, batch, width, count)
                blank += skipped
            writer.writerows(batch)
            count += len(batch)
            bounded(source, file)
    return Checked(
        source=source,
        path=target,
        names=_names(source, dialect, first),
        rows=count,
        options=dict(vars(dialect)),
        engine_options=CLEAN,
        blank_lines=blank,
        line_of=lambda row: _line_of(source, dialect, row, width),
    )


def _first(rows: Iterator[list[str]]) -> tuple[int, list[str]]:
    """How many blank lines come first, and the record behind them; it has no cells if there is none."""
    blank = 0
    for row in rows:
        if row:
            return blank, row
        blank += 1
    return blank, []


def _without_blank_lines(
    source: Source, dialect: Dialect, batch: list[list[str]], width: int, before: int
) -> tuple[list[list[str]], int]:
    """The rows of a batch, and how many blank lines were among them; in a file of one column these are rows."""
    kept = [row or [""] for row in batch] if width == 1 else [row for row in batch if row]
    for index, row in enumerate(kept):
        if len(row) != width:
            line = _line_of(source, dialect, before + index, width)
            what = "the header" if dialect.header else "the first line"
            raise refused(
                source,
                line,
                f"it has {len(row)} cells, and {what} has {width} (delimiter {dialect.delimiter!r}, "
                f"quote {dialect.quote!r}); mend the line, or set delimiter or quote",
            )
    return kept, len(batch) - len(kept)


def _numbered(source: Source, dialect: Dialect, tick: Tick) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line in which it begins; a blank line is a record without cells."""
    csv.field_size_limit(MAX_CHARACTERS)
    quoting: dict[str, Any] = (
        {"quotechar": dialect.quote, "doublequote": True} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    )
    reader = csv.reader(lines_of(source, dialect.encoding, tick), delimiter=dialect.delimiter, strict=True, **quoting)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise refused(source, line, _said(str(error), dialect)) from None


def _said(error: str, dialect: Dialect) -> str:
    """What Python's csv module says, and what to do about it."""
    if "field limit" in error or "unexpected end" in error:
        return f"a cell that begins with {dialect.quote} has no closing {dialect.quote}; mend it, or set quote"
    if "expected after" in error:
        return f"a cell goes on after its closing {dialect.quote}; double the quotes inside of cells, or set quote"
    return f"it cannot be read as CSV ({error}); mend it, or set delimiter or quote"


def _line_of(source: Source, dialect: Dialect, row: int, width: int) -> int:
    """The line in which a row begins; rows are counted from 0, without the header and without blank lines."""
    records = _numbered(source, dialect, lambda _: None)
    if dialect.header:
        records = dropwhile(lambda record: not record[1], records)
        next(records, None)
    lines = (line for line, cells in records if cells or width == 1)
    return next(islice(lines, row, None), 0)


def _names(source: Source, dialect: Dialect, cells: list[str]) -> tuple[str, ...]:
    """The names of the columns, exactly as the header has them."""
    check_width(source, 1, len(cells))
    if not dialect.header:
        return tuple(f"column{number}" for number in range(1, len(cells) + 1))
    seen: dict[str, int] = {}
    for number, name in enumerate(cells, 1):
        if seen.setdefault(name, number) != number:
            raise refused(
                source,
                1,
                f"columns {seen[name]} and {number} have the same name {name[:80]!r}; give each its own, or set header "
                "to false if this line is a row",
            )
    return tuple(cells)
