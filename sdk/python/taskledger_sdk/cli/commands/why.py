"""`tledger why ID`: why a task, a run or a schedule does not go on."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import NotFound

KINDS = ("tasks", "runs", "schedules")


@click.command()
@click.argument("id_", metavar="ID")
@calls_the_api
def why(session: Session, id_: str) -> None:
    """Tell why a task, a run or a schedule does not go on, and what to do.

    A schedule goes by its name, or by its id.
    """
    kinds = KINDS if _is_uuid(id_) else ("schedules",)
    for kind in kinds:
        try:
            answer = session.api.get(path_of(kind, id_, "why"))
        except NotFound:
            continue
        break
    else:
        raise click.ClickException(f"There is {_nothing(kinds)} {id_} that you may see.")
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.text(f"{answer['cause']}: {answer['summary']}")
    evidence = {"next_at": answer["next_at"], **answer["evidence"]}
    session.out.fields([(f"  {name.replace('_', ' ')}", _shown(name, value)) for name, value in evidence.items()])
    session.out.text(f"To do: {answer['fix']}")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _nothing(kinds: Sequence[str]) -> str:
    return "no task, no run and no schedule" if len(kinds) > 1 else "no schedule"


def _shown(name: str, value: Any) -> str:
    return text.moment(value) if name.endswith("_at") and isinstance(value, str) else text.compact(value)
