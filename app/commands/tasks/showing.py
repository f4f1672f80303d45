"""How tasks look in a terminal: tables for people, JSON for programs; results on stdout, progress on stderr."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.commands.statuses import COLOURS

WIDEST_CELL = 120
WIDE = 110  # columns of a terminal; an id takes 36 of them
PIPED_WIDTH = 250  # no terminal says how wide it is, and grep wants one line a task
FIELDS = (
    "id",
    "type",
    "name",
    "status",
    "reason",
    "priority",
    "queue",
    "attempt",
    "max_retries",
    "labels",
    "parent_id",
)
MOMENTS = ("created_at", "scheduled_at", "started_at", "finished_at", "due_at")
CONTENT = ("payload", "progress", "result", "error")


def as_json(value: Any) -> None:
    """Print JSON, indented as people and jq like it."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def list_of(tasks: Sequence[Mapping[str, Any]]) -> None:
    """Print one line a task; on a narrow terminal without number of attempts and moment, for which there is no room."""
    is_wide = _console().width >= WIDE
    table = Table() if is_wide else Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    table.add_column("id", no_wrap=True)
    table.add_column(
        "type", no_wrap=not is_wide, overflow="fold" if is_wide else "ellipsis", max_width=None if is_wide else 16
    )
    table.add_column("status", no_wrap=True)
    if is_wide:
        table.add_column("attempt")
        table.add_column("created", no_wrap=True)
    if is_wide:
        table.add_column("result or error", overflow="fold")
    else:
        table.add_column("result or error", no_wrap=True, overflow="ellipsis", ratio=1)
    for task in tasks:
        outcome = (task["error"] or {}).get("message", "") if task["status"] != "COMPLETED" else compact(task["result"])
        more = [str(task["attempt"]), moment(task["created_at"])] if is_wide else []
        table.add_row(task["id"], task["type"], coloured(task["status"]), *more, escape(cut(outcome)))
    _print(table)


def one(task: Mapping[str, Any], events: Sequence[Mapping[str, Any]], logs: Sequence[Mapping[str, Any]]) -> None:
    """Print everything about a task."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name in FIELDS:
        value = task.get(name)  # a service of the release before does not say all of them
        shown = coloured(str(value)) if name == "status" else escape(compact(value))
        if value not in (None, {}, ""):
            table.add_row(name, shown)
    for name in MOMENTS:
        if task[name]:
            table.add_row(name, moment(task[name]))
    for name in CONTENT:
        if task[name] is not None:
            table.add_row(name, escape(json.dumps(task[name], ensure_ascii=False, indent=2)))
    _print(table)
    _history(events)
    for line in logs:
        _print(escape(f"{moment(line['at'])}  {line['message']}  {compact(line['fields']) if line['fields'] else ''}"))


def _history(events: Sequence[Mapping[str, Any]]) -> None:
    table = Table("when", "status", "attempt", "worker", title="History", title_justify="left")
    for event in events:
        table.add_row(
            moment(event["at"]), coloured(event["status"]), str(event["attempt"]), escape(event["worker"] or "")
        )
    _print(table)


def bar() -> Progress:
    """A progress bar on stderr, which stays away from pipes; nothing is drawn where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)


def moment(text: str) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def coloured(status: str) -> str:
    """A status in its colour, as markup of rich."""
    colour = COLOURS.get(status)
    return f"[{colour}]{status}[/]" if colour else status


def compact(value: Any) -> str:
    """Text as it is, everything else as JSON in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str) -> str:
    """The beginning of a text that is wider than a cell may be."""
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 1] + "…"


def lines(texts: Iterable[str]) -> None:
    """Print texts, one a line, as they are."""
    for text in texts:
        click.echo(text)


def _print(what: Any) -> None:
    _console().print(what)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console
