"""Encodings: which one a file has, by what the caller said or its byte order mark, and its lines as texts."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from taskledger_sdk.errors import PermanentError
from tasks.tables.sources import MAX_CHARACTERS, Source, Tick, refused

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
WIDE = ("utf-16", "utf-16-le", "utf-16-be")
LINES_A_TICK = 20_000
CHOICES = "latin-1, windows-1252 or utf-16"


def encoding_of(source: Source) -> str:
    """The encoding that was said, else that of the byte order mark, else UTF-8."""
    if source.reading.encoding is not None:
        return source.reading.encoding
    mark = mark_of(source.path)
    return next((name for start, name in MARKS if mark == start), "utf-8")


def mark_of(path: Path) -> bytes:
    """The byte order mark at the start of a file; empty if there is none."""
    with path.open("rb") as file:
        start = file.read(3)
    return next((mark for mark, _ in MARKS if start.startswith(mark)), b"")


def lines_of(source: Source, encoding: str, tick: Tick, *, ends: str = "") -> Iterator[str]:
    r"""The lines with their ends, without the byte order mark. With `ends` "" also \r and \r\n end a line.

    Raises PermanentError for what is no text in this encoding, for NUL characters, and for lines that are too long.
    """
    size = max(1, source.path.stat().st_size)
    number = 0
    with source.path.open("rb") as file, TextIOWrapper(file, encoding=encoding, newline=ends) as stream:
        try:
            while line := stream.readline(MAX_CHARACTERS + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix("\ufeff")
                if "\0" in line:
                    raise refused(source, number, _nul(encoding))
                if len(line) > MAX_CHARACTERS:
                    raise refused(source, number, f"it is longer than {MAX_CHARACTERS:,} characters")
                if number % LINES_A_TICK == 0:
                    tick(file.tell() / size)
                yield line
        except UnicodeError as error:
            raise undecodable(source, encoding, error) from None


def undecodable(source: Source, encoding: str, error: UnicodeError) -> PermanentError:
    """The refusal of bytes that are no text in this encoding, with their line where lines can be told before texts."""
    advice = f"if it is written in another, set encoding (for example {CHOICES})"
    if encoding not in WIDE:
        with source.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeError as fault:
                    return refused(source, number, f"it is not {encoding}{_bytes(fault)}; {advice}")
    return refused(source, None, f"it is not {encoding}{_bytes(error)}; {advice}")


def _bytes(error: UnicodeError) -> str:
    if not isinstance(error, UnicodeDecodeError):
        return f" ({error})"
    shown = error.object[error.start : error.end][:4].hex(" ")
    return f" (byte {shown})" if shown else ""


def _nul(encoding: str) -> str:
    other = "utf-8" if encoding in WIDE else "utf-16-le or utf-16-be"
    return f"it holds a NUL character, which no text has; if the file is not {encoding}, set encoding ({other})"
