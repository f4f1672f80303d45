"""`tledger events`: follow events as they happen; tell of what happened elsewhere, and see what came of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.commands.tasks import STATUSES
from taskledger_sdk.cli.inputs import label_filters, payload_of
from taskledger_sdk.cli.output import coloured_status
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import RequestFailed


@click.group()
def events() -> None:
    """Follow what happens, and tell of what happened elsewhere."""


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


@events.command()
@click.argument("name")
@click.argument("data", required=False)
@click.option("--ordering-key", help="Events with the same key are applied one at a time, in their order.")
@click.option("--idempotency-key", help="A second time with the same key tells of nothing new.")
@calls_the_api
def send(
    session: Session,
    *,
    name: str,
    data: str | None,
    ordering_key: str | None,
    idempotency_key: str | None,
) -> None:
    """Tell that NAME happened; DATA is JSON or plain text, @FILE, or - for stdin. Prints the id of the event.

    Triggers that listen for it start their work.
    """
    body: dict[str, Any] = {"name": name}
    if data is not None:
        body["data"] = payload_of(data, "DATA")
    if ordering_key is not None:
        body["ordering_key"] = ordering_key
    sent = session.api.post("/events", body, idempotency_key=idempotency_key or uuid4().hex)
    if session.out.as_json:
        session.out.document(sent)
    else:
        session.out.text(sent["id"])


@events.command()
@click.argument("event_id", type=click.UUID, metavar="ID")
@calls_the_api
def show(session: Session, event_id: UUID) -> None:
    """Show what an event started, and which triggers did not match and why."""
    found = session.api.get(path_of("events", str(event_id)))
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.fields(
        [
            ("id", found["id"]),
            ("name", text.compact(found["name"])),
            ("received_at", text.moment(found["received_at"])),
            ("applied_at", text.moment(found["applied_at"])),
            ("summary", text.compact(found["summary"])),
            ("data", text.indented(found["data"])),
        ]
    )
    for each in found["matches"]:
        became = each["task_id"] or each["run_id"] or each["reason"]
        session.out.text(text.compact(f"{each['trigger_id']}  {each['state']}  {became}"))
    for each in found["unmatched"]:
        session.out.text(text.compact(f"{each['trigger_id']}  did not match  {each['reason']}"))


def _line(number: str, data: dict[str, Any], *, paint: bool) -> str:
    status = f"{text.compact(data['status']):<10}"
    before = f" (was {data['previous_status']})" if data.get("previous_status") else ""
    shown = coloured_status(status) if paint else status
    parts = (f"{text.moment(data['at'])}", shown, text.compact(data["task_id"]), text.compact(data["type"] + before))
    return f"{text.compact(number):>8}  " + "  ".join(parts)
