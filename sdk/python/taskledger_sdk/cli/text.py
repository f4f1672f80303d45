"""Values as text for a terminal. Pure."""

import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "PROCESSING": "cyan",
    "RETRYING": "magenta",
    "RUNNING": "cyan",
    "PAUSED": "yellow",
    "CANARY": "cyan",
    "STOPPED": "red",
    "UNDOING": "magenta",
    "UNDONE": "yellow",
    "COMPENSATING": "magenta",
    "COMPENSATED": "yellow",
    "COMPENSATION_FAILED": "red",
}
"""Of a terminal; what waits has none."""


def printable(text: str, *, one_line: bool = False) -> str:
    """Without control characters, by which a text of somebody else's could command a terminal; with its lines."""
    kept = "" if one_line else "\n\t"
    return "".join(each if each.isprintable() or each in kept else _named(each) for each in text)


def _named(character: str) -> str:
    return {"\n": " ", "\t": " ", "\r": " "}.get(character, "\ufffd")


def compact(value: Any) -> str:
    """Text as it is, nothing for null, and everything else as JSON; in one line."""
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), one_line=True)


def plain(value: Any) -> str:
    """Text as it is, with its lines; everything else as JSON in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def indented(value: Any) -> str:
    """Text as it is, everything else as JSON, over several lines."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2))


def moment(text: str | None) -> str:
    """A moment of the API in this machine's zone, with the zone: 2026-11-29 01:44:23 CET."""
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except ValueError:
        return printable(text, one_line=True)


def seconds(value: float | None) -> str:
    """A length of time, in the units of people."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def labels(value: Mapping[str, str] | None) -> str:
    """team:billing, region:eu."""
    return compact(", ".join(f"{name}:{said}" for name, said in (value or {}).items()))


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(each) for each in text)


def cut(text: str, columns: int) -> str:
    """The beginning of a text, as far as there is room; … stands for the rest."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
