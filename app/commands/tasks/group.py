"""The commands: submit, list, show, retry, cancel, wait."""

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TextIO
from uuid import UUID

import click

from app.commands.statuses import ALL, FINISHED
from app.commands.tasks import showing
from app.commands.tasks.client import LONG_POLL_SECONDS, REFUSED, ApiFailed, Client, Target
from app.commands.tasks.payloads import labels_of, moment_of, payload_of, payloads_of
from app.errors import SettingsError

NOT_COMPLETED, TIMED_OUT = 1, 124  # as timeout(1) exits
DEPRECATED = (
    "`flask --app app tasks` goes with the next release: use `tledger tasks`, which has the same commands, "
    "and other exit statuses (`tledger --help`)."
)
PRIORITIES = click.Choice(("high", "normal", "low"))
STATUSES = click.Choice(ALL, case_sensitive=False)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
wait_option = click.option("--timeout", type=float, default=None, help="Give up waiting after so many seconds.")


class _Failed(click.ClickException):
    """Shown as click shows errors, with an exit status that says who is at fault."""

    def __init__(self, error: ApiFailed) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_status  # type: ignore[misc]  # click reads it from the instance


def _calls_the_api(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    @click.pass_obj
    def called(target: Target, *arguments: Any, **options: Any) -> None:
        if not options["as_json"]:
            click.echo(DEPRECATED, err=True)
        try:
            command(Client(target), *arguments, **options)
        except ApiFailed as error:
            raise _Failed(error) from error

    return called


@click.group()
@click.option("--url", help="Address of the service; TASKLEDGER_URL, or that of `make run`.")
@click.option("--api-key", help="Better kept out of the shell's history: TASKLEDGER_API_KEY.")
@click.pass_context
def tasks(context: click.Context, url: str | None, api_key: str | None) -> None:
    """Deprecated: use `tledger tasks`. Submit, follow and steer tasks, over HTTP.

    Exit status: 0 done; 1 a task that was waited for is not COMPLETED; 2 wrong usage; 3 refused by the service;
    4 the service cannot be reached; 124 the waiting took longer than --timeout.
    """
    try:
        context.obj = Target.find(url=url, api_key=api_key)
    except SettingsError as error:  # the embedded.env of this directory is there and cannot be read
        raise click.UsageError("; ".join(error.faults)) from None


@tasks.command()
@click.argument("type_", metavar="TYPE")
@click.argument("payload", required=False)
@click.option("--each", type=click.File(encoding="utf-8"), help="One task for each line of a file (JSON); - is stdin.")
@click.option("--priority", type=PRIORITIES)
@click.option("--at", help="Not before this moment, such as 2026-12-24T18:00.")
@click.option("--expires-at", help="Cancel it unless it has started by then.")
@click.option("--max-retries", type=int, help="Retries after the first attempt.")
@click.option("--limit", "time_limit", type=int, metavar="SECONDS", help="Time limit of an attempt.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="To find it by; may be repeated.")
@click.option("--name", help="For people.")
@click.option("--idempotency-key", help="A second submission with the same key creates nothing.")
@click.option("--wait", is_flag=True, help="Wait for the outcome.")
@wait_option
@json_option
@_calls_the_api
def submit(
    client: Client,
    *,
    type_: str,
    payload: str | None,
    each: TextIO | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    idempotency_key: str | None,
    **fields: Any,
) -> None:
    """Submit a task of TYPE; PAYLOAD is JSON or plain text, @FILE, or - for stdin."""
    body = {"type": type_, **_fields(fields)}
    if each is not None:
        if payload is not None or idempotency_key is not None:
            raise click.UsageError("--each takes the payloads from the file, and a key for each of them is made")
        submitted = _submit_each(client, body, payloads_of(each))
    else:
        submitted = [client.submit({**body, "payload": payload_of(payload)}, key=idempotency_key)]
    if wait:
        _finish(client, [UUID(task["id"]) for task in submitted], timeout, as_json=as_json)
    elif as_json:
        showing.as_json(submitted if each is not None else submitted[0])
    else:
        showing.lines(task["id"] for task in submitted)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    body = {
        "priority": given["priority"],
        "scheduled_at": moment_of(given["at"], "--at"),
        "expires_at": moment_of(given["expires_at"], "--expires-at"),
        "max_retries": given["max_retries"],
        "timeout": given["time_limit"],
        "labels": labels_of(given["labels"]) or None,
        "name": given["name"],
    }
    return {name: value for name, value in body.items() if value is not None}


def _submit_each(client: Client, body: dict[str, Any], payloads: list[Any]) -> list[dict[str, Any]]:
    """The accepted ones. Raises ApiFailed when any was refused, after the ids of the others were printed."""
    accepted: list[dict[str, Any]] = []
    refused: list[str] = []
    with showing.bar() as progress:
        shown = progress.add_task("Submitting", total=len(payloads))
        for number, answer in enumerate(client.submit_each([{**body, "payload": each} for each in payloads]), 1):
            if isinstance(answer, ApiFailed):
                refused.append(f"payload {number}: {answer}")
            else:
                accepted.append(answer)
            progress.advance(shown)
    if refused:
        showing.lines(task["id"] for task in accepted)
        raise ApiFailed(f"{len(refused)} of {len(payloads)} were refused:\n" + "\n".join(refused), exit_status=REFUSED)
    return accepted


@tasks.command(name="list")
@click.option("--status", "statuses", type=STATUSES, multiple=True, help="May be repeated.")
@click.option("--type", "types", multiple=True, help="May be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="All that are given must hold.")
@click.option("--since", help="Accepted then or later.")
@click.option("--text", help="Part of the name, the type or the error message.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@_calls_the_api
def list_(client: Client, *, limit: int, as_json: bool, **given: Any) -> None:
    """List tasks, newest first."""
    filters = {
        "status": [status.upper() for status in given["statuses"]],
        "type": list(given["types"]),
        "label": [f"{key}:{value}" for key, value in labels_of(given["labels"]).items()],
        "created_after": moment_of(given["since"], "--since"),
        "q": given["text"],
    }
    found = client.find(filters, most=limit)
    if as_json:
        showing.as_json(found)
    else:
        showing.list_of(found)


@tasks.command()
@click.argument("task_id", type=click.UUID)
@json_option
@_calls_the_api
def show(client: Client, task_id: UUID, *, as_json: bool) -> None:
    """Show a task with its history and its log."""
    task = client.read(task_id)
    events, logs = client.below(task_id, "events"), client.below(task_id, "logs")
    if as_json:
        showing.as_json({**task, "events": events, "logs": logs})
    else:
        showing.one(task, events, logs)


@tasks.command()
@click.argument("task_ids", nargs=-1, required=True, type=click.UUID, metavar="TASK_ID...")
@click.option("--payload", help="Another payload; JSON or plain text, @FILE, or - for stdin.")
@click.option("--max-retries", type=int, help="Retries from here on.")
@json_option
@_calls_the_api
def retry(
    client: Client, task_ids: Sequence[UUID], *, payload: str | None, max_retries: int | None, as_json: bool
) -> None:
    """Start FAILED or CANCELLED tasks over."""
    body = {} if max_retries is None else {"max_retries": max_retries}
    if payload is not None:
        body["payload"] = payload_of(payload)
    _act(client, task_ids, "retry", body, as_json=as_json)


@tasks.command()
@click.argument("task_ids", nargs=-1, required=True, type=click.UUID, metavar="TASK_ID...")
@json_option
@_calls_the_api
def cancel(client: Client, task_ids: Sequence[UUID], *, as_json: bool) -> None:
    """Cancel tasks: those that wait at once; one that runs is asked to stop."""
    _act(client, task_ids, "cancel", None, as_json=as_json)


@tasks.command()
@click.argument("task_ids", nargs=-1, required=True, type=click.UUID, metavar="TASK_ID...")
@wait_option
@json_option
@_calls_the_api
def wait(client: Client, task_ids: Sequence[UUID], *, timeout: float | None, as_json: bool) -> None:
    """Wait until all of these tasks have finished."""
    _finish(client, task_ids, timeout, as_json=as_json)


def _act(client: Client, ids: Sequence[UUID], what: str, body: dict[str, Any] | None, *, as_json: bool) -> None:
    """Do it to each, whatever becomes of the others; the last failure gives the exit status."""
    done, failed = [], None
    for task_id in ids:
        try:
            done.append(client.act(task_id, what, body))
        except ApiFailed as error:
            failed = error
            click.echo(f"{task_id}: {error}", err=True)
    if as_json:
        showing.as_json(done)
    else:
        showing.lines(f"{task['id']} {task['status']} {task['cancel_receipt'] or ''}".rstrip() for task in done)
    if failed is not None:
        raise SystemExit(failed.exit_status)


def _finish(client: Client, ids: Sequence[UUID], timeout: float | None, *, as_json: bool) -> None:
    """Wait with a progress bar, show what became of them, and exit with a status that tells."""
    ended, is_late = _wait(client, ids, timeout)
    if as_json:
        showing.as_json(ended if len(ids) > 1 else ended[0])
    elif len(ended) == 1 and ended[0]["status"] == "COMPLETED":
        click.echo(showing.compact(ended[0]["result"]))
    else:
        showing.list_of(ended)
    if is_late:
        click.echo("Not all of them have finished in time.", err=True)
        raise SystemExit(TIMED_OUT)
    if any(task["status"] != "COMPLETED" for task in ended):
        raise SystemExit(NOT_COMPLETED)


def _wait(client: Client, ids: Sequence[UUID], timeout: float | None) -> tuple[list[dict[str, Any]], bool]:
    give_up = None if timeout is None else time.monotonic() + timeout
    ended = []
    with showing.bar() as progress:
        shown = progress.add_task("Waiting", total=len(ids))
        for number, task_id in enumerate(ids):
            task = client.read(task_id)
            while task["status"] not in FINISHED and (give_up is None or time.monotonic() < give_up):
                left = LONG_POLL_SECONDS if give_up is None else min(LONG_POLL_SECONDS, give_up - time.monotonic())
                task = client.read(task_id, wait=max(0.1, left))
                reported = task["progress"] or {}
                said = f"{task['status']} {reported.get('message', '')}".strip()
                progress.update(shown, description=said, completed=number + reported.get("fraction", 0.0))
            ended.append(task)
            progress.update(shown, completed=number + 1)
    return ended, any(task["status"] not in FINISHED for task in ended)
