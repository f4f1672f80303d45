"""`tledger schedules`: list, show, apply, pause, resume, run, delete, next, slots."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import click

from taskledger_sdk.cli import lists, text
from taskledger_sdk.cli.applying import CHANGED, CREATED, UNCHANGED, wanted_of
from taskledger_sdk.cli.inputs import moment_of
from taskledger_sdk.cli.options import list_options
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.errors import NotFound

SERVER_SAYS = frozenset({
    "id", "owner", "next_at", "queued_slot_at", "last_slot_at", "last_task_id", "last_run_id", "problem", "from_code",
    "version", "created_at", "updated_at", "links",
})  # fmt: skip
schedule_argument = click.argument("schedule", metavar="NAME_OR_ID")
schedules_argument = click.argument("schedules", nargs=-1, required=True, metavar="NAME_OR_ID...")


def what_starts(schedule: Any) -> str:
    """The task type, or the workflow."""
    task, workflow = schedule["task"], schedule["workflow"]
    return text.compact(task["type"] if task else f"workflow {workflow['name']}" if workflow else "")


def rule_of(schedule: Any) -> str:
    """When it fires."""
    if schedule["cron"]:
        return text.compact(f"{schedule['cron']} ({schedule['time_zone']})")
    return f"once, {text.moment(schedule['run_at'])}"


COLUMNS = (
    column("id"),
    column("name"),
    Column(heading="enabled", value=lambda schedule: "yes" if schedule["enabled"] else "no"),
    Column(heading="next", value=lambda schedule: text.moment(schedule["next_at"]), only_wide=True),
    Column(heading="starts", value=what_starts),
    Column(heading="when", value=rule_of),
)
SLOT_COLUMNS = (
    Column(heading="slot", value=lambda slot: text.moment(slot["slot_at"])),
    column("state"),
    Column(heading="task or run", value=lambda slot: text.compact(slot["task_id"] or slot["run_id"])),
    column("reason"),
)


@click.group()
def schedules() -> None:
    """Store, list, pause and delete schedules.

    Each goes by its name, or by its id.
    """


@schedules.command(name="list")
@click.option("--enabled/--disabled", default=None, help="Only those that have slots now, or have not.")
@click.option("--text", "part", help="Part of the name, of cron or of the task type.")
@list_options
@calls_the_api
def list_(session: Session, *, enabled: bool | None, part: str | None, **paging: Any) -> None:
    """List schedules, newest first."""
    said = None if enabled is None else str(enabled).lower()
    chosen = {"enabled": said, "q": part}
    lists.show(session, "/schedules", COLUMNS, chosen, **paging, empty="There are no schedules.")


@schedules.command()
@schedule_argument
@calls_the_api
def show(session: Session, schedule: str) -> None:
    """Show a schedule. The JSON can be changed, and stored with `apply`."""
    found = session.api.get(path_of("schedules", schedule))
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.fields(
        [
            ("id", found["id"]),
            ("name", text.compact(found["name"])),
            ("enabled", "yes" if found["enabled"] else "no"),
            ("when", rule_of(found)),
            ("next_at", text.moment(found["next_at"])),
            ("last_slot_at", text.moment(found["last_slot_at"])),
            ("last task or run", text.compact(found["last_task_id"] or found["last_run_id"])),
            ("problem", text.compact(found["problem"])),
            ("misfire", text.compact(found["misfire"])),
            ("overlap", text.compact(found["overlap"])),
            ("jitter_seconds", str(found["jitter_seconds"] or "")),
            ("starts_at", text.moment(found["starts_at"])),
            ("ends_at", text.moment(found["ends_at"])),
            ("starts", text.indented(found["task"] or found["workflow"])),
        ]
    )


@schedules.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@calls_the_api
def apply(session: Session, files: Sequence[str]) -> None:
    """Store the schedules of FILEs that differ from what is stored; - is stdin.

    A file holds JSON, as PUT /schedules/NAME takes it with the name in it, or a list of these. What a file does not
    say is as in a new schedule, but for `enabled`: what was paused stays paused. It ends at the first that is refused.
    With --json: of each its name, what was done and the schedule, one a line.
    """
    for document in wanted_of(files, what="schedule", server_says=SERVER_SAYS):
        done, stored = _apply(session, document)
        if session.out.as_json:
            session.out.line({"name": document["name"], "outcome": done, "schedule": stored})
        else:
            coming = f", next {text.moment(stored['next_at'])}" if stored["next_at"] else ""
            session.out.text(f"{document['name']} {done}{coming}")


def _apply(session: Session, wanted: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    path = path_of("schedules", wanted["name"])
    try:
        old = session.api.get(path)
    except NotFound:
        old = None
    # What a service shows may be given back to it: null stands for what was not said.
    new = session.api.put(path, {name: value for name, value in wanted.items() if value is not None})
    if old is None or new["id"] != old["id"]:  # an admin sees the schedules of others, and stores their own
        return CREATED, new
    return UNCHANGED if new["updated_at"] == old["updated_at"] else CHANGED, new


@schedules.command()
@schedules_argument
@calls_the_api
def pause(session: Session, schedules: Sequence[str]) -> None:
    """Pause schedules: they have no slots until they are resumed."""
    _enable(session, schedules, enabled=False)


@schedules.command()
@schedules_argument
@calls_the_api
def resume(session: Session, schedules: Sequence[str]) -> None:
    """Resume paused schedules; slots that would have been meanwhile are not made up for."""
    _enable(session, schedules, enabled=True)


@schedules.command()
@schedule_argument
@click.option("--idempotency-key", help="A second time with the same key starts nothing.")
@calls_the_api
def run(session: Session, schedule: str, *, idempotency_key: str | None) -> None:
    """Start a schedule's task or run at once, whatever its rule says; prints the id."""
    started = session.api.post(path_of("schedules", schedule, "run"), idempotency_key=idempotency_key or uuid4().hex)
    if session.out.as_json:
        session.out.document(started)
    else:
        session.out.text(started["id"])


@schedules.command()
@schedules_argument
@calls_the_api
def delete(session: Session, schedules: Sequence[str]) -> None:
    """Delete schedules and their slots; tasks that they submitted stay."""
    lists.delete(session, "schedules", schedules, called="schedule")


@schedules.command(name="next")
@click.argument("schedule", metavar="[NAME_OR_ID]", required=False)
@click.option("--cron", help="Of this expression instead; nothing is stored.")
@click.option("--time-zone", help="Of --cron; UTC unless given.")
@click.option("--after", help="Moments after this one; after now unless given.")
@calls_the_api
def next_(
    session: Session, *, schedule: str | None, cron: str | None, time_zone: str | None, after: str | None
) -> None:
    """Show the next ten moments of a schedule's rule, or of an expression."""
    if (schedule is None) == (cron is None):
        raise click.UsageError("give a schedule, or --cron")
    if schedule is not None:
        found = session.api.get(path_of("schedules", schedule))
        if not found["cron"]:
            found = {"items": [found["next_at"]] if found["next_at"] else [], "description": "once"}
            _show_moments(session, found)
            return
        cron, time_zone = found["cron"], found["time_zone"]
    body = {"cron": cron, "time_zone": time_zone or "UTC", "after": moment_of(after, "--after")}
    _show_moments(session, session.api.post("/schedules/preview", {k: v for k, v in body.items() if v is not None}))


@schedules.command()
@schedule_argument
@list_options
@calls_the_api
def slots(session: Session, schedule: str, **paging: Any) -> None:
    """List what became of each slot, newest first."""
    path = path_of("schedules", schedule, "slots")
    lists.show(session, path, SLOT_COLUMNS, **paging, empty="It has had no slot yet.")


def _enable(session: Session, names: Sequence[str], *, enabled: bool) -> None:
    def change(name: str) -> dict[str, Any]:
        return session.api.patch(path_of("schedules", name), {"enabled": enabled})

    def say(found: dict[str, Any]) -> str:
        coming = f", next {text.moment(found['next_at'])}" if found["next_at"] else ""
        return f"{found['name'] or found['id']} {'enabled' if found['enabled'] else 'paused'}{coming}"

    lists.each(session, names, change, say)


def _show_moments(session: Session, found: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(found)
        return
    if found.get("description"):
        session.out.note(found["description"])
    for each in found["items"]:
        session.out.text(text.moment(each))
    if not found["items"]:
        session.out.note("No moment will come.")
