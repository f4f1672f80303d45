"""What people type or pipe in, as the body of a submission."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from taskledger_sdk.cli.inputs import readable


def payload_of(text: str | None) -> Any:
    """The payload: JSON where it is JSON, else the text itself; @file and - read it from a file or stdin."""
    if text is None:
        return {}
    is_file = text == "-" or text.startswith("@")
    if is_file:
        path = text.removeprefix("@")
        with readable(path, "PAYLOAD"), click.open_file(path, encoding="utf-8") as file:
            text = file.read()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # 'hello world' is a payload of reverse_string; a broken object or a file is a mistake, not a string
        if is_file or text.lstrip().startswith(("{", "[")):
            raise click.BadParameter("it is no valid JSON", param_hint="PAYLOAD") from None
        return text


def payloads_of(lines: Iterable[str]) -> list[Any]:
    """One payload a line, as JSON."""
    with readable(str(getattr(lines, "name", "the file")), "--each"):
        read = list(lines)
    found = []
    for number, line in enumerate(read, 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise click.BadParameter(f"line {number} is no JSON: {error}", param_hint="--each") from None
    return found


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """{"team": "billing"} of team:billing; = may stand for the colon."""
    pairs = [word.replace("=", ":", 1).partition(":") if ":" not in word else word.partition(":") for word in words]
    for word, (_, colon, _) in zip(words, pairs, strict=True):
        if not colon:
            raise click.BadParameter(f"{word} is not key:value", param_hint="--label")
    return {key: value for key, _, value in pairs}


def moment_of(text: str | None, option: str) -> str | None:
    """A moment with its zone; one without a zone is meant in the zone of this machine."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise click.BadParameter(f"{text} is no moment such as 2026-12-24T18:00", param_hint=option) from None
