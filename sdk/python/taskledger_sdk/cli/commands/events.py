"""`tledger events tail`: events as they happen."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.commands.tasks import STATUSES
from taskledger_sdk.cli.inputs import label_filters
from taskledger_sdk.cli.output import coloured_status
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.errors import RequestFailed


@click.group()
def events() -> None:
    """Follow what happens, as it happens."""


@events.command()
@click.option("--status", "statuses", type=STATUSES, multiple=True, help="May be repeated.")
@click.option("--type", "types", multiple=True, help="May be repeated.")
@click.option("--task", "task_ids", type=click.UUID, multiple=True, help="Only of this task; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="All that are given must hold.")
@click.option("--after", type=click.IntRange(0), help="Begin after this number; 0: with all that is kept.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
@calls_the_api
def tail(
    session: Session,
    *,
    statuses: Sequence[str],
    types: Sequence[str],
    task_ids: Sequence[UUID],
    labels: Sequence[str],
    after: int | None,
    count: int | None,
) -> None:
    """Show events as they happen; Ctrl-C ends it. After a broken connection it goes on where it was.

    With --json: one object a line, with `id`, the number to give to --after, `event` and `data`.
    """
    from taskledger_sdk.http.streams import follow

    def tell(failure: RequestFailed | None) -> None:
        if failure is not None:
            session.out.note(f"{failure} Trying again; nothing that happens meanwhile is left out.")

    filters: dict[str, Any] = {
        "status": [status.upper() for status in statuses],
        "type": list(types),
        "task_id": [str(each) for each in task_ids],
        "label": label_filters(labels),
    }
    position = None if after is None else str(after)
    for number, event in enumerate(follow(session.api, filters, after=position, on_break=tell), 1):
        if session.out.as_json:
            session.out.line({"id": event.id, "event": event.event, "data": event.data})
        else:
            click.echo(_line(event.id, event.data, paint=session.out.has_colours), color=session.out.has_colours)
        if number == count:
            return


def _line(number: str, data: dict[str, Any], *, paint: bool) -> str:
    status = f"{text.compact(data['status']):<10}"
    before = f" (was {data['previous_status']})" if data.get("previous_status") else ""
    shown = coloured_status(status) if paint else status
    parts = (f"{text.moment(data['at'])}", shown, text.compact(data["task_id"]), text.compact(data["type"] + before))
    return f"{text.compact(number):>8}  " + "  ".join(parts)
