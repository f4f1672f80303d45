"""`tledger queues`: list, status, pause, resume, cancel-waiting."""

import click

from taskledger_sdk.cli import mass_changes, text
from taskledger_sdk.cli.options import yes_option
from taskledger_sdk.cli.pausing import pause_one, resume_one
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

COLUMNS = (
    column("name"),
    column("waiting"),
    column("running"),
    Column(heading="oldest", value=lambda queue: text.seconds(queue["oldest_seconds"])),
    column("workers"),
    Column(heading="paused", value=lambda queue: text.compact(_why_paused(queue["paused"]))),
)
FIGURE_COLUMNS = (
    column("name"),
    column("waiting"),
    column("running"),
    column("scheduled"),
    Column(heading="oldest", value=lambda each: text.seconds(each["oldest_seconds"])),
    Column(heading="in/s", value=lambda each: f"{each['rate_in']:.1f}"),
    Column(heading="out/s", value=lambda each: f"{each['rate_out']:.1f}"),
    Column(heading="drained in", value=lambda each: text.seconds(each["drain_seconds"])),
    column("workers"),
)
name_argument = click.argument("name", default="tasks", metavar="[NAME]")


@click.group()
def queues() -> None:
    """List, pause and resume queues.

    NAME is `tasks` unless given.
    """


@queues.command(name="list")
@calls_the_api
def list_(session: Session) -> None:
    """List the queues: what waits and runs, how long, who serves them, what is paused."""
    found = session.api.get("/queues")
    session.out.page(COLUMNS, found, empty="There are no queues.")
    if not session.out.as_json:
        for each in found["paused_types"]:
            session.out.note(f"The type {each['name']} is paused: {_why_paused(each)}")


@queues.command()
@calls_the_api
def status(session: Session) -> None:
    """Show every queue and each type in it in figures: how many, how long, how fast."""
    found = session.api.get("/queues/status")
    if session.out.as_json:
        session.out.document(found)
        return
    rows = []
    for queue in found["items"]:
        rows.append(queue)
        rows += [{**each, "name": f"  {each['type']}", "workers": each["known_by_workers"]} for each in queue["types"]]
    session.out.table(FIGURE_COLUMNS, rows, empty="There are no queues.")


@queues.command()
@name_argument
@click.option("--reason", help="Shown to whoever asks why a task does not run.")
@calls_the_api
def pause(session: Session, name: str, *, reason: str | None) -> None:
    """Pause a queue: workers stop to take from it, what runs goes on, submissions are accepted. For admins."""
    pause_one(session, "queues", name, reason)


@queues.command()
@name_argument
@calls_the_api
def resume(session: Session, name: str) -> None:
    """Resume a queue. For admins."""
    resume_one(session, "queues", name)


@queues.command(name="cancel-waiting")
@click.argument("name")
@click.option("--type", "type_", help="Only of this type.")
@click.option(
    "--status",
    type=click.Choice(("SCHEDULED", "PENDING", "RETRYING"), case_sensitive=False),
    help="Only in this status.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@yes_option
@calls_the_api
def cancel_waiting(
    session: Session, name: str, *, type_: str | None, status: str | None, dry_run: bool, yes: bool
) -> None:
    """Cancel every task that waits in a queue, after a count and a question; they can be replayed. For admins."""
    chosen = {"type": type_, "status": status and status.upper()}
    mass_changes.change(
        session,
        path_of("queues", name, "purge"),
        {field: value for field, value in chosen.items() if value},
        question="Waiting tasks to cancel: {count}. Go on?",
        done="Cancelled: {count}",
        dry_run=dry_run,
        yes=yes,
    )


def _why_paused(paused: dict[str, str] | None) -> str:
    if not paused:
        return ""
    return f"since {text.moment(paused['paused_at'])}" + (f": {paused['reason']}" if paused["reason"] else "")
