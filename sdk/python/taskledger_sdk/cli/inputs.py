"""What people type or pipe in, as it goes into a request."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

import click

DEEP = "it is nested too deeply"


@contextmanager
def readable(path: str, hint: str) -> Iterator[None]:
    """Around the reading of a file. Raises click.BadParameter, naming the file, for one that is no text or not there.

    `hint`: the argument or option that names the file.
    """
    shown = "standard input" if path == "-" else path
    try:
        yield
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{shown} is no text in UTF-8: byte {error.start}", param_hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise click.BadParameter(f"{shown} cannot be read: {reason}", param_hint=hint) from None


def text_of(path: str, hint: str) -> str:
    """The text of a file; - is standard input. Raises click.BadParameter."""
    with readable(path, hint), click.open_file(path, encoding="utf-8") as file:
        return str(file.read())


def json_of(text: str) -> Any:
    """What a text of JSON says. Raises ValueError, also for NaN and Infinity, and RecursionError."""
    return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def payload_of(text: str | None, hint: str = "PAYLOAD") -> Any:
    """The payload: JSON where it is JSON, else the text itself; @file and - read it from a file or stdin."""
    if text is None:
        return {}
    is_file = text == "-" or text.startswith("@")
    if is_file:
        text = text_of(text.removeprefix("@"), hint)
    try:
        return json_of(text)
    except (ValueError, RecursionError):
        # 'hello world' is a payload of reverse_string; a broken object or a file is a mistake, not a string
        if is_file or text.lstrip().startswith(("{", "[")):
            raise click.BadParameter("it is no valid JSON", param_hint=hint) from None
        return text


def payloads_of(path: str) -> list[Any]:
    """One payload a line, as JSON."""
    found = []
    # Not splitlines(): it also ends a line at U+2028 and others, which JSON allows within a text.
    for number, line in enumerate(text_of(path, "--each").split("\n"), 1):
        if line.strip():
            try:
                found.append(json_of(line))
            except (ValueError, RecursionError) as error:
                said = error if isinstance(error, ValueError) else DEEP
                raise click.BadParameter(f"line {number} is no JSON: {said}", param_hint="--each") from None
    return found


def documents_of(path: str) -> list[dict[str, Any]]:
    """The objects in a file of JSON: one, or a list of them. Raises click.BadParameter."""
    text = text_of(path, "FILE")
    shown = "standard input" if path == "-" else path
    try:
        found = json_of(text)
    except (ValueError, RecursionError) as error:
        said = error if isinstance(error, ValueError) else DEEP
        raise click.BadParameter(f"{shown} is no JSON: {said}", param_hint="FILE") from None
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in listed):
        raise click.BadParameter(f"{shown} must hold an object, or a list of objects", param_hint="FILE")
    return listed


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """{"team": "billing"} of team:billing; = may stand for the colon. No key has either of them in it."""
    found = {}
    for word in words:
        key, *value = re.split("[:=]", word, maxsplit=1)
        if not value:
            raise click.BadParameter(f"{word} is not key:value", param_hint="--label")
        (found[key],) = value
    return found


def label_filters(words: Iterable[str]) -> list[str]:
    """The same as query parameters."""
    return [f"{key}:{value}" for key, value in labels_of(words).items()]


def moment_of(text: str | None, option: str) -> str | None:
    """A moment with its zone; one without a zone is meant in the zone of this machine."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text} is no moment such as 2026-12-24T18:00", param_hint=option) from None
