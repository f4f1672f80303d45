"""What a command prints: answers on stdout, as JSON for programs or as text for people; remarks on stderr."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from taskledger_sdk.cli import tables
from taskledger_sdk.cli.tables import Column
from taskledger_sdk.cli.text import COLOURS, printable


class Output:
    """Where a command's answers go."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.has_terminal = sys.stdout.isatty()
        self.has_colours = self.has_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def document(self, value: Any) -> None:
        """One JSON document, indented as people and jq like it."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))

    def line(self, value: Any) -> None:
        """One of many JSON documents, in one line, and sent at once."""
        click.echo(json.dumps(value, ensure_ascii=False))

    def text(self, text: str) -> None:
        """Text as it is; on a terminal, control characters in it do nothing."""
        click.echo(printable(text) if self.has_terminal else text)

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        click.echo(printable(text), err=True)

    def table(self, columns: Sequence[Column], items: Sequence[Mapping[str, Any]], *, empty: str) -> None:
        """A table; where there is nothing, `empty` says so on stderr."""
        if not items:
            self.note(empty)
            return
        width = shutil.get_terminal_size().columns if self.has_terminal else None
        for line in tables.rendered(columns, items, width=width, paint=self.has_colours):
            click.echo(line, color=self.has_colours)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values; those without a value are left out."""
        for line in tables.fields(pairs):
            click.echo(printable(line))

    def heading(self, text: str) -> None:
        """What stands over a part of a page."""
        click.echo()
        click.echo(click.style(text, bold=True) if self.has_colours else text, color=self.has_colours)

    def page(self, columns: Sequence[Column], found: Mapping[str, Any], *, empty: str = "There are none.") -> None:
        """A page of a list: the API's own JSON, or a table and a remark on how to go on."""
        if self.as_json:
            self.document(found)
            return
        self.table(columns, found["items"], empty=empty)
        if found.get("next"):
            self.note(f"There are more: --all, --limit, or --cursor {found['next']}")


def coloured_status(padded: str) -> str:
    """A status in its colour."""
    colour = COLOURS.get(padded.strip())
    return click.style(padded, fg=colour) if colour else padded


STATUS = tables.column("status", colour=coloured_status)
