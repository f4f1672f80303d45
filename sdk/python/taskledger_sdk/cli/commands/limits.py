"""`tledger limits`: list, usage, set, remove."""

import re
from typing import Any

import click

from taskledger_sdk.cli import text
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

RATE = re.compile(r"(\d+)(?:/(\d+))?")
COLUMNS = (
    column("kind"),
    column("name"),
    column("at once", "max_running"),
    Column(heading="rate", value=lambda limit: _rate(limit["rate"])),
    column("hints", "max_hints"),
    column("weight"),
    Column(heading="changed", value=lambda limit: text.moment(limit["changed_at"]), only_wide=True),
    column("reason"),
)
USAGE_COLUMNS = (
    column("owner"),
    column("type"),
    column("held"),
    column("queued"),
    column("out"),
    column("running"),
)
kind_argument = click.argument("kind")
name_argument = click.argument("name")


@click.group()
def limits() -> None:
    """List, set and remove admission limits; for admins.

    KIND is type, queue, owner, key, or another that the service knows; NAME is what the limit is for.
    """


@limits.command(name="list")
@calls_the_api
def list_(session: Session) -> None:
    """List the limits in force."""
    session.out.page(COLUMNS, session.api.get("/limits"), empty="There are no limits.")


@limits.command()
@calls_the_api
def usage(session: Session) -> None:
    """Show what tasks under limits do now, by owner and type. For everybody; an admin sees all owners."""
    session.out.page(USAGE_COLUMNS, session.api.get("/limits/usage"), empty="No task is under a limit.")


@limits.command(name="set")
@kind_argument
@name_argument
@click.option("--max-running", type=int, help="At most so many at once, over all workers.")
@click.option("--rate", metavar="COUNT/SECONDS", help="So many starts in so many seconds, such as 100/60.")
@click.option("--burst", type=int, help="With --rate: so many may start at once after a quiet time.")
@click.option("--max-hints", type=int, help="At most so many of each owner and type on their way to workers.")
@click.option("--weight", type=int, help="An owner's share where owners compete.")
@click.option("--shared", is_flag=True, help="Of a key: one limit for all accounts together.")
@click.option("--reason", help="Why, for whoever asks.")
@calls_the_api
def set_(
    session: Session, kind: str, name: str, *, rate: str | None, burst: int | None, shared: bool, **given: Any
) -> None:
    """Set a limit, in place of the one that was there; what is left out does not limit."""
    body = {field: value for field, value in given.items() if value is not None}
    if rate is not None:
        found = RATE.fullmatch(rate)
        if found is None:
            raise click.BadParameter(f"{rate} is not COUNT/SECONDS, such as 100/60", param_hint="--rate")
        body["rate"] = {"count": int(found[1]), "seconds": int(found[2] or 1)}
        if burst is not None:
            body["rate"]["burst"] = burst
    elif burst is not None:
        raise click.UsageError("--burst belongs to --rate")
    if not {"rate", "max_running", "max_hints", "weight"} & body.keys():
        raise click.UsageError("say what is limited, such as --max-running or --rate; `limits remove` removes a limit")
    if shared:
        body["shared"] = True
    limit = session.api.put(_path(kind, name), body)
    if session.out.as_json:
        session.out.document(limit)
    else:
        session.out.table(COLUMNS, [limit], empty="")


@limits.command()
@kind_argument
@name_argument
@calls_the_api
def remove(session: Session, kind: str, name: str) -> None:
    """Remove a limit; what it held back is admitted."""
    session.api.delete(_path(kind, name))
    if session.out.as_json:
        session.out.document({"kind": kind, "name": name, "removed": True})
    else:
        session.out.text(f"{kind} {name} removed")


def _path(kind: str, name: str) -> str:
    return path_of("limits", kind, *name.split("/"))  # a name may have slashes, and the route takes them


def _rate(rate: dict[str, Any] | None) -> str:
    return "" if rate is None else f"{rate['count']} in {rate['seconds']:g} s"
