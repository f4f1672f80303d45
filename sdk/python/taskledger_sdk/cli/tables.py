"""Aligned tables. Pure: what is printed where is the matter of `output`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskledger_sdk.cli.text import compact, cut, width_of

GAP = "  "
WIDE = 110
"""Columns of a terminal from which there is room for everything; an id takes 36 of them."""
NARROWEST = 12


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its heading, and what it shows of an item."""

    heading: str
    value: Callable[[Mapping[str, Any]], str]
    colour: Callable[[str], str] | None = None
    """What to make of a cell that is already padded."""
    only_wide: bool = False
    """Left out on a narrow terminal."""


def column(heading: str, name: str | None = None, **options: Any) -> Column:
    """A column that shows a field of the item; the field is called like the column unless said otherwise."""
    field = name or heading
    return Column(heading=heading, value=lambda item: compact(item.get(field)), **options)


def rendered(
    columns: Sequence[Column], items: Sequence[Mapping[str, Any]], *, width: int | None, paint: bool
) -> Iterator[str]:
    """The lines of a table. `width`: of the terminal; None: nobody looks, and nothing is cut. `paint`: with colours."""
    if width is not None and width < WIDE:
        columns = [each for each in columns if not each.only_wide]
    cells = [[each.heading for each in columns], *([each.value(item) for each in columns] for item in items)]
    widths = [max(map(width_of, of_column)) for of_column in zip(*cells, strict=True)]
    if width is not None:
        room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(room, NARROWEST))
    for number, row in enumerate(cells):
        shown = []
        for each, cell, columns_wide in zip(columns, row, widths, strict=True):
            text = cut(cell, columns_wide)
            padded = text + " " * (columns_wide - width_of(text))
            shown.append(each.colour(padded) if paint and number and each.colour else padded)
        yield GAP.join(shown).rstrip()


def fields(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names and values below each other; names without a value are left out."""
    there = [(name, value) for name, value in pairs if value]
    longest = max((len(name) for name, _ in there), default=0)
    for name, value in there:
        first, *more = value.splitlines() or [""]
        yield f"{name:<{longest}}{GAP}{first}"
        yield from (f"{'':<{longest}}{GAP}{line}" for line in more)
