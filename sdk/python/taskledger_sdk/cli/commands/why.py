"""`tledger why ID`: why a task, a run or a schedule does not go on."""

from typing import Any
from uuid import UUID

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import NotFound

KINDS = ("tasks", "runs", "schedules")


@click.command()
@click.argument("id_", metavar="ID", type=click.UUID)
@calls_the_api
def why(session: Session, id_: UUID) -> None:
    """Tell why a task, a run or a schedule does not go on, and what to do."""
    for kind in KINDS:
        try:
            answer = session.api.get(path_of(kind, id_, "why"))
        except NotFound:
            continue
        break
    else:
        raise click.ClickException(f"There is no task, no run and no schedule {id_} that you may see.")
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.text(f"{answer['cause']}: {answer['summary']}")
    evidence = {"next_at": answer["next_at"], **answer["evidence"]}
    session.out.fields([(f"  {name.replace('_', ' ')}", _shown(name, value)) for name, value in evidence.items()])
    session.out.text(f"To do: {answer['fix']}")


def _shown(name: str, value: Any) -> str:
    return text.moment(value) if name.endswith("_at") and isinstance(value, str) else text.compact(value)
