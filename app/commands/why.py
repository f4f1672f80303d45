"""`flask --app app why ID`: why a task, a schedule or a run does not go on."""

import json
from contextlib import suppress
from dataclasses import asdict
from uuid import UUID

import click
from rich.console import Console

from app.clock import utcnow
from app.database import transaction
from app.errors import NotFound
from app.services import explain


@click.command("why")
@click.argument("id_", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def why(id_: UUID, *, as_json: bool) -> None:
    """Tell why a task, a schedule or a run does not go on, and what to do; exit status 1 when there is none."""
    try:
        answer = _asked(id_)
    except NotFound:
        raise click.ClickException(f"There is no task, no schedule and no run {id_}.") from None
    if as_json:
        click.echo(json.dumps(asdict(answer), default=str))
        return
    console = Console(highlight=False)
    console.print(f"{answer.cause}: {answer.summary}", style="bold", markup=False)  # errors say anything
    for name, value in answer.evidence.items():
        console.print(f"  {name.replace('_', ' ')}: {'-' if value is None else value}", markup=False)
    console.print(f"To do: {answer.fix}", markup=False)


def _asked(id_: UUID) -> explain.Answer:
    with transaction() as session:
        for ask in (explain.why, explain.why_schedule):
            with suppress(NotFound):
                return ask(session, id_, owner=None, now=utcnow())
        return explain.why_run(session, id_, owner=None, now=utcnow())
