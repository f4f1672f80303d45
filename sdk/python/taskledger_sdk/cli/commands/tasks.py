"""`tledger tasks`: submit, list, show, wait, cancel, replay and others."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import click

from taskledger_sdk.cli import lists, submitting, text, waiting
from taskledger_sdk.cli.groups import AliasedGroup
from taskledger_sdk.cli.inputs import label_filters, labels_of, moment_of, payload_of, payloads_of
from taskledger_sdk.cli.options import PRIORITIES, labels_option, list_options, see_that_it_waits, timeout_option
from taskledger_sdk.cli.output import STATUS
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.cli.task_table import COLUMNS, NO_TASKS
from taskledger_sdk.http.addresses import path_of

STATUSES = click.Choice(
    ("SCHEDULED", "PENDING", "PROCESSING", "RETRYING", "WAITING", "COMPLETED", "FAILED", "CANCELLED"),
    case_sensitive=False,
)
task_ids = click.argument("task_ids", nargs=-1, required=True, type=click.UUID, metavar="TASK_ID...")
task_id = click.argument("task_id", type=click.UUID)


EVENT_COLUMNS = (
    Column(heading="when", value=lambda event: text.moment(event["at"])),
    STATUS,
    column("attempt"),
    column("worker"),
)
FIELDS = (
    "id", "type", "name", "status", "reason", "priority", "queue", "attempt", "max_retries", "timeout",
    "concurrency_key", "ordering_key", "callback_url", "cancel_receipt", "parent_id", "owner",
)  # fmt: skip
MOMENTS = ("created_at", "scheduled_at", "expires_at", "started_at", "finished_at", "due_at", "cancel_requested_at")
CONTENT = ("payload", "progress", "result", "error")


@click.group(cls=AliasedGroup, aliases={"retry": "replay"})
def tasks() -> None:
    """Submit, follow and steer tasks."""


@tasks.command()
@click.argument("type_", metavar="TYPE")
@click.argument("payload", required=False)
@click.option("--each", metavar="FILE", help="One task for each line of a file (JSON); - is stdin.")
@click.option("--priority", type=PRIORITIES)
@click.option("--queue", help="In place of that of its type.")
@click.option("--ordering-key", help="Your tasks with the same key run one at a time, in their order.")
@click.option("--concurrency-key", help="What it uses that limits are set for.")
@click.option("--at", help="Not before this moment, such as 2026-12-24T18:00.")
@click.option("--expires-at", help="Cancel it unless it has started by then.")
@click.option("--max-retries", type=int, help="Retries after the first attempt.")
@click.option("--time-limit", type=int, metavar="SECONDS", help="Time limit of an attempt.")
@labels_option
@click.option("--name", help="For people.")
@click.option("--callback-url", help="Gets a POST when it has finished.")
@click.option("--idempotency-key", help="A second submission with the same key creates nothing.")
@click.option("--wait", is_flag=True, help="Wait for the outcome.")
@timeout_option
@calls_the_api
def submit(
    session: Session,
    *,
    type_: str,
    payload: str | None,
    each: str | None,
    wait: bool,
    timeout: float | None,
    idempotency_key: str | None,
    **given: Any,
) -> None:
    """Submit a task of TYPE; PAYLOAD is JSON or plain text, @FILE, or - for stdin.

    Prints the id; with --wait the result. With --json and --each: the API's answer to each payload, one a line.
    """
    see_that_it_waits(timeout, waits=wait)
    body = {"type": type_, **_fields(given)}
    if each is not None:
        if payload is not None or idempotency_key is not None:
            raise click.UsageError("--each takes the payloads from the file, and a key for each of them is made")
        ids = submitting.submit_each(session, body, payloads_of(each), shows=not wait)
        waiting.finish(session, ids, timeout, as_lines=True) if wait else None
        return
    task = submitting.submit(session.api, {**body, "payload": payload_of(payload)}, key=idempotency_key)
    if wait:
        waiting.finish(session, [task["id"]], timeout)
    elif session.out.as_json:
        session.out.document(task)
    else:
        session.out.text(task["id"])


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    body = {
        "priority": given["priority"],
        "queue": given["queue"],
        "ordering_key": given["ordering_key"],
        "concurrency_key": given["concurrency_key"],
        "scheduled_at": moment_of(given["at"], "--at"),
        "expires_at": moment_of(given["expires_at"], "--expires-at"),
        "max_retries": given["max_retries"],
        "timeout": given["time_limit"],
        "labels": labels_of(given["labels"]) or None,
        "name": given["name"],
        "callback_url": given["callback_url"],
    }
    return {name: value for name, value in body.items() if value is not None}


@tasks.command(name="list")
@click.option("--status", "statuses", type=STATUSES, multiple=True, help="May be repeated.")
@click.option("--type", "types", multiple=True, help="May be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="All that are given must hold.")
@click.option("--since", help="Accepted then or later.")
@click.option("--until", help="Accepted earlier.")
@click.option("--text", "part", help="Part of the name, the type or the error message.")
@list_options
@calls_the_api
def list_(
    session: Session,
    *,
    statuses: Sequence[str],
    types: Sequence[str],
    labels: Sequence[str],
    since: str | None,
    until: str | None,
    part: str | None,
    **paging: Any,
) -> None:
    """List tasks, newest first."""
    filters = {
        "status": [status.upper() for status in statuses],
        "type": list(types),
        "label": label_filters(labels),
        "created_after": moment_of(since, "--since"),
        "created_before": moment_of(until, "--until"),
        "q": part,
    }
    lists.show(session, "/tasks", COLUMNS, filters, **paging, empty=NO_TASKS)


@tasks.command()
@task_id
@calls_the_api
def show(session: Session, task_id: UUID) -> None:
    """Show a task; to people also its history and its log."""
    path = path_of("tasks", task_id)
    task = session.api.get(path)
    if session.out.as_json:
        session.out.document(task)
        return
    session.out.fields(
        [
            *((name, text.compact(task.get(name))) for name in FIELDS),
            ("labels", text.labels(task.get("labels"))),
            *((name, text.moment(task.get(name))) for name in MOMENTS),
            *((name, text.indented(task[name])) for name in CONTENT if task.get(name) is not None),
        ]
    )
    session.out.heading("History")
    events = lists.read(session.api, f"{path}/events")["items"]
    session.out.table(EVENT_COLUMNS, events, empty="Nothing has happened yet.")
    lines = session.api.get(f"{path}/logs")["items"]
    if lines:
        session.out.heading("Log")
        _log(session, lines)


@tasks.command()
@task_ids
@timeout_option
@calls_the_api
def wait(session: Session, task_ids: Sequence[UUID], *, timeout: float | None) -> None:
    """Wait until all of these tasks have finished.

    Of one that is COMPLETED the result is printed. Exit status: 5 when one is not COMPLETED, 124 after --timeout.
    """
    waiting.finish(session, [str(each) for each in task_ids], timeout)


@tasks.command()
@task_ids
@calls_the_api
def cancel(session: Session, task_ids: Sequence[UUID]) -> None:
    """Cancel tasks: those that wait at once; one that runs is asked to stop."""
    lists.each(session, [str(each) for each in task_ids], lambda id_: _act(session, id_, "cancel"), _became)


@tasks.command()
@task_ids
@click.option("--payload", help="Another payload; JSON or plain text, @FILE, or - for stdin.")
@click.option("--max-retries", type=int, help="Retries from here on.")
@click.option("--fresh", is_flag=True, help="Durable tasks forget what they remember, and begin from nothing.")
@calls_the_api
def replay(
    session: Session, task_ids: Sequence[UUID], *, payload: str | None, max_retries: int | None, fresh: bool
) -> None:
    """Start FAILED or CANCELLED tasks again, with fresh retries. `retry` is the same."""
    body: dict[str, Any] = {} if max_retries is None else {"max_retries": max_retries}
    if fresh:
        body["fresh"] = True
    if payload is not None:
        body["payload"] = payload_of(payload, "--payload")
    lists.each(session, [str(each) for each in task_ids], lambda id_: _act(session, id_, "retry", body), _became)


@tasks.command()
@task_ids
@click.option("--reason", help="For people: kept with the task that undoes it.")
@calls_the_api
def compensate(session: Session, task_ids: Sequence[UUID], *, reason: str | None) -> None:
    """Undo COMPLETED tasks, each by a task that does so; prints the ids of these."""
    body = {} if reason is None else {"reason": reason}
    lists.each(session, [str(each) for each in task_ids], lambda id_: _act(session, id_, "compensate", body), _became)


@tasks.command()
@task_ids
@calls_the_api
def delete(session: Session, task_ids: Sequence[UUID]) -> None:
    """Delete finished tasks and their history."""
    lists.delete(session, "tasks", [str(each) for each in task_ids], called="id")


@tasks.command()
@task_id
@calls_the_api
def attempts(session: Session, task_id: UUID) -> None:
    """List the attempts of a task, oldest first."""
    found = session.api.get(path_of("tasks", task_id, "attempts"))
    columns = (
        column("number"),
        column("worker"),
        Column(heading="started", value=lambda each: text.moment(each["started_at"])),
        Column(heading="ended", value=lambda each: text.moment(each["ended_at"])),
        column("outcome"),
        Column(heading="error", value=lambda each: _error(each["error"])),
    )
    session.out.page(columns, found, empty="It has not been started yet.")


@tasks.command()
@task_id
@calls_the_api
def logs(session: Session, task_id: UUID) -> None:
    """Show what the handler of a task wrote, oldest first."""
    found = session.api.get(path_of("tasks", task_id, "logs"))
    if session.out.as_json:
        session.out.document(found)
    elif found["items"]:
        _log(session, found["items"])
    else:
        session.out.note("It has written nothing.")


@tasks.command()
@task_id
@list_options
@calls_the_api
def events(session: Session, task_id: UUID, **paging: Any) -> None:
    """List the changes of a task's status, oldest first."""
    lists.show(session, path_of("tasks", task_id, "events"), EVENT_COLUMNS, **paging, empty="There are none.")


@tasks.command()
@task_id
@list_options
@calls_the_api
def children(session: Session, task_id: UUID, **paging: Any) -> None:
    """List the tasks that a task's handler submitted, newest first."""
    lists.show(session, path_of("tasks", task_id, "children"), COLUMNS, **paging, empty=NO_TASKS)


@tasks.command()
@task_id
@list_options
@calls_the_api
def signals(session: Session, task_id: UUID, **paging: Any) -> None:
    """List what a task was told, newest first: who sent it, when, and which step took it."""
    columns = (
        Column(heading="when", value=lambda signal: text.moment(signal["at"])),
        column("name"),
        Column(heading="data", value=lambda signal: text.compact(signal["data"])),
        column("sent by", "sent_by"),
        column("taken by", "taken_by"),
    )
    lists.show(session, path_of("tasks", task_id, "signals"), columns, **paging, empty="It was told nothing.")


@tasks.command()
@task_id
@list_options
@calls_the_api
def steps(session: Session, task_id: UUID, **paging: Any) -> None:
    """List what the handler of a durable task has behind it, in its order."""
    columns = (
        column("name"),
        column("kind"),
        column("state"),
        Column(heading="result", value=lambda step: text.compact(step["result"])),
        column("child", "child_id"),
        Column(heading="until", value=lambda step: text.moment(step["wakes_at"]), only_wide=True),
        Column(heading="ended", value=lambda step: text.moment(step["ended_at"])),
        Column(heading="error", value=lambda step: _error(step["error"])),
    )
    lists.show(session, path_of("tasks", task_id, "steps"), columns, **paging, empty="It remembers nothing.")


def _act(session: Session, id_: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return session.api.post(path_of("tasks", id_, what), body or None)


def _became(task: dict[str, Any]) -> str:
    return f"{task['id']} {task['status']} {task.get('cancel_receipt') or ''}".rstrip()


def _error(error: dict[str, Any] | None) -> str:
    return "" if error is None else text.compact(f"{error['type']}: {error['message']}")


def _log(session: Session, lines: Sequence[dict[str, Any]]) -> None:
    for line in lines:
        more = text.compact(line["fields"]) if line["fields"] else ""
        session.out.text(f"{text.moment(line['at'])}  {line['message']}  {more}".rstrip())
