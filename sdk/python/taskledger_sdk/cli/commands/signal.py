"""`tledger signal ID NAME`: tell a task or a run what it waits for."""

from typing import Any
from uuid import UUID, uuid4

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.inputs import payload_of
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import NotFound

KINDS = ("tasks", "runs")


@click.command()
@click.argument("id_", metavar="ID", type=click.UUID)
@click.argument("name")
@click.argument("data", required=False)
@click.option("--idempotency-key", "--key", "key", help="A second signal with the same key is not sent.")
@calls_the_api
def signal(session: Session, *, id_: UUID, name: str, data: str | None, key: str | None) -> None:
    """Tell a task or a run what it waits for.

    The signal has a NAME, and may have DATA: JSON or plain text, @FILE, or - for stdin. One that comes before anything
    waits for it is kept.
    """
    sent = _send(session, id_, name, None if data is None else payload_of(data, "DATA"), key or uuid4().hex)
    if session.out.as_json:
        session.out.document(sent)
    else:
        session.out.text(f"{id_} {text.compact(sent['name'])} sent")


def _send(session: Session, id_: UUID, name: str, data: Any, key: str) -> dict[str, Any]:
    for kind in KINDS:
        try:
            return session.api.post(path_of(kind, id_, "signals", name), {"data": data}, idempotency_key=key)
        except NotFound:
            continue
    raise click.ClickException(f"There is no task and no run {id_} that you may see.")
