"""`tledger workflows`: list, show, apply, delete, activate, deactivate."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import click

from taskledger_sdk.cli import lists, text
from taskledger_sdk.cli.applying import CHANGED, CREATED, UNCHANGED, wanted_of
from taskledger_sdk.cli.options import list_options
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import NotFound

COLUMNS = (
    column("name"),
    column("version"),
    Column(heading="active", value=lambda found: "yes" if found["active"] else "no"),
    Column(heading="steps", value=lambda found: str(len(found["definition"].get("steps", ())))),
    Column(heading="updated", value=lambda found: text.moment(found["updated_at"])),
    column("description"),
)
STEP_COLUMNS = (
    column("step", "key"),
    column("type"),
    Column(heading="after", value=lambda step: ", ".join(step.get("after") or ())),
    Column(heading="when", value=lambda step: text.compact(step.get("when")), only_wide=True),
    Column(heading="payload", value=lambda step: text.compact(step.get("payload"))),
)
SERVER_SAYS = frozenset(("id", "version", "owner", "created_at", "updated_at", "links"))
name_argument = click.argument("name")
names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@click.group()
def workflows() -> None:
    """Store, list and show workflows."""


@workflows.command(name="list")
@click.option("--active/--inactive", default=None, help="Only those of which runs may be started, or may not.")
@click.option("--text", "part", help="Part of the name or of the description.")
@list_options
@calls_the_api
def list_(session: Session, *, active: bool | None, part: str | None, **paging: Any) -> None:
    """List workflows, newest first; those of the service itself are among them."""
    said = None if active is None else str(active).lower()
    chosen = {"active": said, "q": part}
    lists.show(session, "/workflows", COLUMNS, chosen, **paging, empty="There are no workflows.")


@workflows.command()
@name_argument
@click.option("--version", type=int, help="An older version; the newest unless given.")
@calls_the_api
def show(session: Session, name: str, *, version: int | None) -> None:
    """Show a workflow. The JSON can be changed, and stored with `apply`."""
    found = session.api.get(path_of("workflows", name), {"version": version})
    if session.out.as_json:
        session.out.document(found)
        return
    definition = found["definition"]
    session.out.fields(
        [
            ("name", found["name"]),
            ("description", text.compact(found["description"])),
            ("version", str(found["version"])),
            ("active", "yes" if found["active"] else "no: no run may be started"),
            ("belongs to", "the service itself" if found["owner"] is None else text.compact(found["owner"])),
            ("on_failure", text.compact(definition.get("on_failure"))),
            ("updated_at", text.moment(found["updated_at"])),
            ("input", text.indented(definition["input"]) if definition.get("input") else ""),
        ]
    )
    session.out.heading("Steps")
    steps = [{"key": key, **step} for key, step in definition.get("steps", {}).items()]
    session.out.table(STEP_COLUMNS, steps, empty="It has none.")


@workflows.command()
@name_argument
@calls_the_api
def versions(session: Session, name: str) -> None:
    """List the versions of a workflow, newest first."""
    columns = (column("version"), Column(heading="created", value=lambda each: text.moment(each["created_at"])))
    session.out.page(columns, session.api.get(path_of("workflows", name, "versions")))


@workflows.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@calls_the_api
def apply(session: Session, files: Sequence[str]) -> None:
    """Store the workflows of FILEs that differ from what is stored; - is stdin.

    A file holds JSON: {"name", "definition", "description", "active"}, or a list of these. Each is created, changed or
    unchanged; what a file does not say stays as it is. It ends at the first that is refused. With --json: of each its
    name, what was done and the workflow, one a line.
    """
    for document in wanted_of(files, what="workflow", server_says=SERVER_SAYS):
        done, stored = _apply(session, document)
        if session.out.as_json:
            session.out.line({"name": document["name"], "outcome": done, "workflow": stored})
        else:
            session.out.text(f"{document['name']} {done}, version {stored['version']}")


def _apply(session: Session, wanted: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    path = path_of("workflows", wanted["name"])
    try:
        old = session.api.get(path)
    except NotFound:
        return CREATED, session.api.post("/workflows", wanted, idempotency_key=uuid4().hex)
    difference = {name: value for name, value in wanted.items() if value != old.get(name)}
    active = difference.pop("active", None)
    # Definitions are stored in one form, in which what was left out is filled in: the service knows which are the same.
    new = session.api.patch(path, difference) if difference else old
    is_changed = new["version"] != old["version"] or new["description"] != old["description"]
    if active is not None:
        new = session.api.post(f"{path}/{'activate' if active else 'deactivate'}")
        is_changed = True
    return CHANGED if is_changed else UNCHANGED, new


@workflows.command()
@names_argument
@calls_the_api
def delete(session: Session, names: Sequence[str]) -> None:
    """Delete workflows; their finished runs stay."""
    lists.delete(session, "workflows", names, called="name")


@workflows.command()
@names_argument
@calls_the_api
def activate(session: Session, names: Sequence[str]) -> None:
    """Allow new runs."""
    _set_active(session, names, "activate")


@workflows.command()
@names_argument
@calls_the_api
def deactivate(session: Session, names: Sequence[str]) -> None:
    """Forbid new runs; those under way go on."""
    _set_active(session, names, "deactivate")


def _set_active(session: Session, names: Sequence[str], what: str) -> None:
    def act(name: str) -> dict[str, Any]:
        return session.api.post(path_of("workflows", name, what))

    lists.each(session, names, act, lambda found: f"{found['name']} {'active' if found['active'] else 'not active'}")
