"""Texts of a service in source: they say what they say, and end nothing that they stand in."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from taskledger_sdk.payload_types.model import ShapeField

WIDTH = 100
LAST_SHORT = "\uffff"
"""What comes after it is spelled as a number in no way that both languages know."""


def quoted(text: str) -> str:
    """A literal that Python and TypeScript read alike; what has no picture, or turns text around, is a number."""
    return "".join(
        each if each.isprintable() or each > LAST_SHORT else f"\\u{ord(each):04x}"
        for each in json.dumps(text, ensure_ascii=False)
    )


def printable_lines(text: str) -> list[str]:
    """Its lines, without characters that have no picture; none for an empty text."""
    return ["".join(each if each.isprintable() else " " for each in line).rstrip() for line in text.splitlines()]


def docstring(text: str, indent: str) -> Iterator[str]:
    """The lines of a docstring of Python; none for an empty text."""
    shown = "\n".join(printable_lines(text)).replace("\\", "\\\\")
    lines = re.sub(r'"(?="|\Z)', r'\\"', shown).splitlines()
    if not lines:
        return
    if len(lines) == 1:
        yield f'{indent}"""{lines[0]}"""'
        return
    yield f'{indent}"""{lines[0]}'
    yield from (f"{indent}{line}" if line else "" for line in lines[1:])
    yield f'{indent}"""'


def doc_comment(text: str, indent: str) -> Iterator[str]:
    """The lines of a comment that editors show with a declaration of TypeScript; none for an empty text."""
    lines = [line.replace("*/", "*\\/") for line in printable_lines(text)]
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"


def filled(parts: Sequence[str], indent: str, separator: str = ", ", *, hanging: str = "") -> Iterator[str]:
    """The parts, as many to a line as it has room for; all lines but the last end in the separator.

    Those after the first are indented by `hanging` as well.
    """
    line = indent
    indent += hanging
    for number, part in enumerate(parts):
        piece = part if number == len(parts) - 1 else f"{part}{separator}"
        if line.strip() and len(line) + len(piece.rstrip()) > WIDTH:
            yield line.rstrip()
            line = indent
        line += piece
    yield line.rstrip()


def paragraphs(texts: Iterable[str]) -> str:
    """Those that are not empty, one below the other."""
    return "\n\n".join(text for text in texts if text)


def default_of(field: ShapeField) -> str:
    """What the service takes when the field is left out, for people."""
    return f"Left out: `{field.default}`." if field.default and not field.is_required else ""
