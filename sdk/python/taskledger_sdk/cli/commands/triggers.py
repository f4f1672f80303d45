"""`tledger triggers`: list, show, create, pause, resume, delete, matches."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import click

from taskledger_sdk.cli import lists, text
from taskledger_sdk.cli.inputs import documents_of
from taskledger_sdk.cli.options import list_options
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

SERVER_SAYS = frozenset({"id", "owner", "created_at", "updated_at", "links"})
trigger_argument = click.argument("trigger_id", type=click.UUID, metavar="ID")
triggers_argument = click.argument("trigger_ids", nargs=-1, required=True, type=click.UUID, metavar="ID...")


def what_starts(trigger: Any) -> str:
    """The task type, or the workflow."""
    task, workflow = trigger["task"], trigger["workflow"]
    return text.compact(task["type"] if task else f"workflow {workflow['name']}" if workflow else "")


COLUMNS = (
    column("id"),
    column("name"),
    column("event"),
    Column(heading="enabled", value=lambda trigger: "yes" if trigger["enabled"] else "no"),
    Column(heading="starts", value=what_starts),
    Column(heading="when", value=lambda trigger: text.compact(trigger["when"]), only_wide=True),
)
MATCH_COLUMNS = (
    Column(heading="when", value=lambda match: text.moment(match["at"])),
    column("event_id"),
    column("state"),
    Column(heading="task or run", value=lambda match: text.compact(match["task_id"] or match["run_id"])),
    column("reason"),
)


@click.group()
def triggers() -> None:
    """Create, list, pause and delete rules that start work on events."""


@triggers.command(name="list")
@click.option("--event", help="Only those that listen for this event.")
@click.option("--enabled/--disabled", default=None, help="Only those that start work now, or do not.")
@click.option("--text", "part", help="Part of the name, the event, the task type or the workflow.")
@list_options
@calls_the_api
def list_(session: Session, *, event: str | None, enabled: bool | None, part: str | None, **paging: Any) -> None:
    """List triggers, newest first."""
    chosen = {"event": event, "enabled": None if enabled is None else str(enabled).lower(), "q": part}
    lists.show(session, "/triggers", COLUMNS, chosen, **paging, empty="There are no triggers.")


@triggers.command()
@trigger_argument
@calls_the_api
def show(session: Session, trigger_id: Any) -> None:
    """Show a trigger. The JSON can be changed, and given to `create`."""
    found = session.api.get(path_of("triggers", str(trigger_id)))
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.fields(
        [
            ("id", found["id"]),
            ("name", text.compact(found["name"])),
            ("event", text.compact(found["event"])),
            ("enabled", "yes" if found["enabled"] else "no"),
            ("when", "" if found["when"] is None else text.indented(found["when"])),
            ("starts", text.indented(found["task"] or found["workflow"])),
            ("created_at", text.moment(found["created_at"])),
            ("updated_at", text.moment(found["updated_at"])),
        ]
    )


@triggers.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@calls_the_api
def create(session: Session, files: Sequence[str]) -> None:
    """Create the triggers of FILEs; - is stdin. Prints their ids.

    A file holds JSON, as POST /triggers takes it, or a list of these. It ends at the first that is refused.
    """
    for document in (each for file in files for each in documents_of(file)):
        # What a service shows may be given back to it: null stands for what was not said.
        said = {name: value for name, value in document.items() if name not in SERVER_SAYS and value is not None}
        made = session.api.post("/triggers", said, idempotency_key=uuid4().hex)
        if session.out.as_json:
            session.out.line(made)
        else:
            session.out.text(made["id"])


@triggers.command()
@triggers_argument
@calls_the_api
def pause(session: Session, trigger_ids: Sequence[Any]) -> None:
    """Pause triggers: they start nothing until they are resumed."""
    _enable(session, trigger_ids, enabled=False)


@triggers.command()
@triggers_argument
@calls_the_api
def resume(session: Session, trigger_ids: Sequence[Any]) -> None:
    """Resume paused triggers; events that were applied meanwhile are not applied again."""
    _enable(session, trigger_ids, enabled=True)


@triggers.command()
@triggers_argument
@calls_the_api
def delete(session: Session, trigger_ids: Sequence[Any]) -> None:
    """Delete triggers; what they have started stays."""
    lists.delete(session, "triggers", [str(each) for each in trigger_ids], called="trigger")


@triggers.command()
@trigger_argument
@list_options
@calls_the_api
def matches(session: Session, trigger_id: Any, **paging: Any) -> None:
    """List what a trigger has matched and started, newest first."""
    path = path_of("triggers", str(trigger_id), "matches")
    lists.show(session, path, MATCH_COLUMNS, **paging, empty="It has matched nothing yet.")


def _enable(session: Session, trigger_ids: Sequence[Any], *, enabled: bool) -> None:
    def change(trigger_id: str) -> dict[str, Any]:
        return session.api.patch(path_of("triggers", trigger_id), {"enabled": enabled})

    def say(found: dict[str, Any]) -> str:
        return f"{found['id']} {'enabled' if found['enabled'] else 'paused'}"

    lists.each(session, [str(each) for each in trigger_ids], change, say)
