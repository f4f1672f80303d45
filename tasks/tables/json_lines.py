"""JSON lines: an object a line; every value is kept as the text it has, numbers as well as nested values.

The engine's own reader would turn 1.10 into 1.1, and would look at the first lines only to say which fields there are.
So the lines are split here into the texts of their values, and the engine reads these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from tasks.tables.encodings import encoding_of, lines_of
from tasks.tables.sources import Checked, Source, Tick, bounded, check_width, refused

# No JSON text holds a control character, except as white space between its parts.
SEPARATOR = "\x1f"
ENGINE = {"delim": SEPARATOR, "quote": "", "escape": "", "new_line": "\\n", "skip": "0"}
SPACES = str.maketrans("\t\r\n", "   ")
OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
BATCH_ROWS = 2_000


def check(source: Source, folder: Path, tick: Tick) -> Checked:
    """Read the whole file twice: for its fields, then for its values. Raises PermanentError, naming the line."""
    encoding = encoding_of(source)
    names: dict[str, None] = {}
    rows = blank = 0
    for line, fields in _objects(source, encoding, lambda share: tick(share / 2)):
        if fields is None:
            blank += 1
            continue
        rows += 1
        if not names.keys() >= fields.keys():
            names.update(dict.fromkeys(fields))
            check_width(source, line, len(names))
    if not names:
        raise refused(source, None, 'it has no field; a line of JSON lines is an object such as {"id": 1}')
    target = folder / f"checked-{len(list(folder.iterdir()))}.txt"
    second = _objects(source, encoding, lambda share: tick(0.5 + share / 2))
    objects = (fields for _, fields in second if fields is not None)
    with target.open("w", encoding="utf-8", newline="") as file:
        while batch := list(islice(objects, BATCH_ROWS)):
            file.writelines(_row(fields, names) for fields in batch)
            bounded(source, file)
    return Checked(
        source=source,
        path=target,
        names=tuple(names),
        rows=rows,
        options={"encoding": encoding},
        engine_options=ENGINE,
        blank_lines=blank,
        line_of=lambda row: _line_of(source, encoding, row),
    )


def _row(fields: dict[str, str], names: dict[str, None]) -> str:
    """The texts of the values in the order of the names; nothing where a field is missing."""
    texts = [fields.get(name, "") for name in names]
    return f"{SEPARATOR.join(texts).translate(SPACES)}\n"


def _objects(source: Source, encoding: str, tick: Tick) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Each line with the texts of its values by name; None for a blank line."""
    for number, line in enumerate(lines_of(source, encoding, tick, ends="\n"), 1):
        text = line.strip(" \t\r\n")
        if not text:
            yield number, None
            continue
        try:
            fields = {name: str(value, "utf-8") for name, value in OBJECT.decode(text).items()}
        except msgspec.MsgspecError as error:
            raise refused(source, number, f"it is no JSON object ({error})") from None
        except UnicodeEncodeError:
            raise refused(source, number, "it holds half a surrogate pair") from None
        # A name that stands twice has quotes that belong to none of the names and values that were kept.
        quotes = 2 * len(fields) + sum(value.count('"') for value in fields.values())
        if text.count('"') != quotes or "\\u" in text:
            _look_closely(source, number, text)
        yield number, fields


def _look_closely(source: Source, line: int, text: str) -> None:
    """Refuse names that stand twice, and texts that cannot be kept."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found):
            twice = next(name for index, (name, _) in enumerate(found) if name in dict(found[:index]))
            raise refused(source, line, f"the field {twice!r} stands twice in one object; keep one of them")
        return made

    try:
        shown = json.dumps(
            json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str), ensure_ascii=False
        )
        shown.encode()
    except RecursionError:
        raise refused(source, line, "it is nested too deeply") from None
    except UnicodeEncodeError:
        raise refused(source, line, "it holds half a surrogate pair (\\ud800 to \\udfff), which is no text") from None
    if "\\u0000" in shown:
        raise refused(source, line, "it holds a NUL character (\\u0000), which cannot be kept")


def _line_of(source: Source, encoding: str, row: int) -> int:
    """The line of a row; rows are counted from 0, without blank lines."""
    lines = (number for number, fields in _objects(source, encoding, lambda _: None) if fields is not None)
    return next(islice(lines, row, None), 0)
