"""`flask --app app tail`: events as they happen, one a line, like tail -f."""

import time
from collections.abc import Iterator
from functools import partial
from uuid import UUID

import click
import msgspec

from app.commands.statuses import COLOURS
from app.database import in_transaction
from app.models import Status
from app.services import events
from app.services.events import EventFilter, Numbered

POLL_SECONDS = 0.3
PAGE = 500


@click.command("tail")
@click.option("--status", "statuses", multiple=True, type=click.Choice([status.value for status in Status]))
@click.option("--type", "types", multiple=True, help="Only of this task type; repeat it for several.")
@click.option("--task", "tasks", multiple=True, type=click.UUID, help="Only of this task; repeat it for several.")
@click.option("--lines", "-n", default=10, show_default=True, help="Begin with so many past events.")
@click.option("--after", type=int, help="Begin after this number instead.")
@click.option("--no-follow", is_flag=True, help="End when there is nothing more.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a line.")
def tail(
    *,
    statuses: tuple[str, ...],
    types: tuple[str, ...],
    tasks: tuple[UUID, ...],
    lines: int,
    after: int | None,
    no_follow: bool,
    as_json: bool,
) -> None:
    """Show what happens to tasks, as it happens; Ctrl-C ends it."""
    wanted = EventFilter(statuses=frozenset(statuses), types=frozenset(types), task_ids=frozenset(tasks))
    newest = in_transaction(events.newest_position)
    begin = max(0, newest - lines) if after is None else after
    try:
        for event in _follow(begin, stop_at_end=no_follow):
            if wanted.matches(event, {}):
                click.echo(msgspec.json.encode(event).decode() if as_json else _line(event))
    except KeyboardInterrupt:
        return


def _follow(position: int, *, stop_at_end: bool) -> Iterator[Numbered]:
    while True:
        page = in_transaction(partial(events.read_after, after=position, limit=PAGE))
        yield from page.events
        if page.until == page.after:
            if stop_at_end:
                return
            time.sleep(POLL_SECONDS)
        position = page.until


def _line(event: Numbered) -> str:
    status = click.style(f"{event.status:<10}", fg=COLOURS.get(event.status))
    before = f" (was {event.previous_status})" if event.previous_status else ""
    return f"{event.position:>8}  {event.at:%Y-%m-%d %H:%M:%S.%f}Z  {status}  {event.task_id}  {event.type}{before}"
