"""`tledger runs`: start, list, show, wait, cancel, pause, resume, retry, compensate."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import click

from taskledger_sdk.cli import lists, text, waiting
from taskledger_sdk.cli.inputs import label_filters, labels_of, moment_of, payload_of
from taskledger_sdk.cli.options import PRIORITIES, labels_option, list_options, see_that_it_waits, timeout_option
from taskledger_sdk.cli.output import STATUS, coloured_status
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

STATUSES = click.Choice(
    (
        *("RUNNING", "PAUSED", "COMPLETED", "COMPENSATING", "COMPENSATED"),
        *("COMPENSATION_FAILED", "FAILED", "CANCELLED"),
    ),
    case_sensitive=False,
)
run_ids = click.argument("run_ids", nargs=-1, required=True, type=click.UUID, metavar="RUN_ID...")
run_id = click.argument("run_id", type=click.UUID)

COLUMNS = (
    column("id"),
    column("workflow"),
    column("version", only_wide=True),
    STATUS,
    Column(heading="done", value=lambda run: f"{run['progress']['percent']} %"),
    Column(heading="created", value=lambda run: text.moment(run["created_at"]), only_wide=True),
    Column(heading="took", value=lambda run: text.seconds(run["seconds"]), only_wide=True),
    column("reason"),
)
STEP_COLUMNS = (
    column("step", "key"),
    column("type"),
    column("state", colour=coloured_status),
    column("undo", "undo_state", only_wide=True),
    column("attempt", only_wide=True),
    Column(heading="took", value=lambda step: text.seconds(step["seconds"])),
    column("task", "task_id"),
    Column(heading="error", value=lambda step: text.compact((step["error"] or {}).get("message"))),
)


@click.group()
def runs() -> None:
    """Start, follow and steer runs of workflows."""


@runs.command()
@click.argument("workflow")
@click.argument("input_", metavar="[INPUT]", required=False)
@click.option("--priority", type=PRIORITIES, help="Of its tasks.")
@labels_option
@click.option("--idempotency-key", help="A second start with the same key starts nothing.")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@timeout_option
@calls_the_api
def start(
    session: Session,
    *,
    workflow: str,
    input_: str | None,
    priority: str | None,
    labels: Sequence[str],
    idempotency_key: str | None,
    wait: bool,
    timeout: float | None,
) -> None:
    """Start a run of WORKFLOW; INPUT is a JSON object, @FILE, or - for stdin. Prints the id of the run."""
    see_that_it_waits(timeout, waits=wait)
    body = {"input": payload_of(input_, "INPUT"), "labels": labels_of(labels) or None, "priority": priority}
    if not isinstance(body["input"], dict):
        raise click.BadParameter('it must be an object, such as {"customer_id": "C-1"}', param_hint="INPUT")
    body = {name: value for name, value in body.items() if value is not None}
    run = session.api.post(path_of("workflows", workflow, "runs"), body, idempotency_key=idempotency_key or uuid4().hex)
    if wait:
        waiting.finish_run(session, run["id"], timeout, lambda ended: _show(session, ended))
    elif session.out.as_json:
        session.out.document(run)
    else:
        session.out.text(run["id"])


@runs.command(name="list")
@click.option("--workflow", help="Of this workflow.")
@click.option("--status", "statuses", type=STATUSES, multiple=True, help="May be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="All that are given must hold.")
@click.option("--since", help="Started then or later.")
@click.option("--until", help="Started earlier.")
@list_options
@calls_the_api
def list_(
    session: Session,
    *,
    workflow: str | None,
    statuses: Sequence[str],
    labels: Sequence[str],
    since: str | None,
    until: str | None,
    **paging: Any,
) -> None:
    """List runs, newest first."""
    filters = {
        "workflow": workflow,
        "status": [status.upper() for status in statuses],
        "label": label_filters(labels),
        "created_after": moment_of(since, "--since"),
        "created_before": moment_of(until, "--until"),
    }
    lists.show(session, "/runs", COLUMNS, filters, **paging, empty="There are no such runs.")


@runs.command()
@run_id
@calls_the_api
def show(session: Session, run_id: UUID) -> None:
    """Show a run with its steps."""
    _show(session, session.api.get(path_of("runs", run_id)))


@runs.command()
@run_id
@calls_the_api
def events(session: Session, run_id: UUID) -> None:
    """List the changes of a run's status, oldest first."""
    columns = (Column(heading="when", value=lambda event: text.moment(event["at"])), STATUS, column("reason"))
    session.out.page(columns, session.api.get(path_of("runs", run_id, "events")))


@runs.command()
@run_id
@timeout_option
@calls_the_api
def wait(session: Session, run_id: UUID, *, timeout: float | None) -> None:
    """Wait until a run has ended. Exit status: 5 when it is not COMPLETED, 124 after --timeout."""
    waiting.finish_run(session, str(run_id), timeout, lambda ended: _show(session, ended))


@runs.command()
@run_ids
@calls_the_api
def cancel(session: Session, run_ids: Sequence[UUID]) -> None:
    """Cancel runs; what they have completed stays, unless it is undone with `compensate`."""
    _each(session, run_ids, "cancel")


@runs.command()
@run_ids
@calls_the_api
def pause(session: Session, run_ids: Sequence[UUID]) -> None:
    """Pause runs: no further step starts."""
    _each(session, run_ids, "pause")


@runs.command()
@run_ids
@calls_the_api
def resume(session: Session, run_ids: Sequence[UUID]) -> None:
    """Resume paused runs."""
    _each(session, run_ids, "resume")


@runs.command()
@run_ids
@calls_the_api
def retry(session: Session, run_ids: Sequence[UUID]) -> None:
    """Go on with FAILED or CANCELLED runs where they ended; completed steps are not repeated."""
    _each(session, run_ids, "retry")


@runs.command()
@run_ids
@click.option("--reason", help="For people: kept with each compensation.")
@click.option("--done-by-hand", multiple=True, metavar="STEP", help="A step that a person has undone; repeatable.")
@calls_the_api
def compensate(session: Session, run_ids: Sequence[UUID], *, reason: str | None, done_by_hand: Sequence[str]) -> None:
    """Undo what finished runs have done, last step first; or go on with that where a compensation failed."""
    body: dict[str, Any] = {} if reason is None else {"reason": reason}
    if done_by_hand:
        body["done_by_hand"] = list(done_by_hand)
    _each(session, run_ids, "compensate", body)


def _each(session: Session, ids: Sequence[UUID], what: str, body: dict[str, Any] | None = None) -> None:
    def act(id_: str) -> dict[str, Any]:
        return session.api.post(path_of("runs", id_, what), body or None)

    lists.each(session, [str(each) for each in ids], act, lambda run: f"{run['id']} {run['status']}")


def _show(session: Session, run: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(run)
        return
    progress = run["progress"]
    session.out.fields(
        [
            ("id", run["id"]),
            ("workflow", f"{run['workflow']}, version {run['version']}"),
            ("status", run["status"]),
            ("reason", text.compact(run["reason"])),
            ("priority", text.compact(run["priority"])),
            ("labels", text.labels(run["labels"])),
            ("progress", f"{progress['done']} of {progress['total']} steps, {progress['percent']} %"),
            ("created_at", text.moment(run["created_at"])),
            ("finished_at", text.moment(run["finished_at"])),
            ("took", text.seconds(run["seconds"])),
            ("input", text.indented(run["input"])),
        ]
    )
    session.out.heading("Steps")
    session.out.table(STEP_COLUMNS, run["steps"], empty="It has none.")
    if run["needs_a_person"]:
        session.out.note(
            "A compensation failed, and nothing more happens by itself: look at its error, then go on with"
        )
        session.out.note(f"  tledger runs compensate {run['id']}")
