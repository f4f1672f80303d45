"""`tledger repairs`: start, list, show, items, watch, pause, resume, stop, undo."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import click

from taskledger_sdk.cli import lists, repair_progress, text, waiting
from taskledger_sdk.cli.inputs import label_filters, moment_of, payload_of
from taskledger_sdk.cli.options import list_options, see_that_it_waits, timeout_option, yes_option
from taskledger_sdk.cli.output import STATUS
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of

LOOK_SECONDS = 0.5
GOES_ON = frozenset(("CANARY", "RUNNING", "UNDOING"))
STATUSES = click.Choice(
    ("CANARY", "RUNNING", "PAUSED", "STOPPED", "COMPLETED", "UNDOING", "UNDONE"), case_sensitive=False
)
OUTCOMES = click.Choice(("well", "failed", "cancelled", "refused", "passed_over", "undone"))
COLUMNS = (
    column("id"),
    column("type"),
    STATUS,
    Column(heading="done", value=lambda repair: f"{repair['count'] - _left(repair)} of {repair['count']}"),
    Column(heading="failed", value=lambda repair: text.compact(repair["counts"]["failed"])),
    Column(heading="started", value=lambda repair: text.moment(repair["created_at"]), only_wide=True),
    column("reason"),
)
ITEM_COLUMNS = (
    column("task", "task_id"),
    column("outcome"),
    Column(heading="replayed", value=lambda item: text.moment(item["replayed_at"]), only_wide=True),
    column("problem"),
)
REFUSED_COLUMNS = (column("task", "task_id"), column("problem"))
repair_id = click.argument("repair_id", type=click.UUID)


@click.group()
def repairs() -> None:
    """Replay many dead letters together: patched, at a rate, a canary first."""


@repairs.command()
@click.option("--type", "type_", required=True, help="Dead letters of this type.")
@click.option("--fingerprint", help="With this cause; `tledger dead-letters groups` lists the causes.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="All that are given must hold.")
@click.option("--search", help="Part of the name, the type or the error message.")
@click.option("--since", help="Failed then or later.")
@click.option("--until", help="Failed earlier.")
@click.option("--created-since", help="Submitted then or later.")
@click.option("--created-until", help="Submitted earlier.")
@click.option("--patch", help="A JSON Patch (RFC 6902) on each payload: JSON, @FILE, or - for stdin.")
@click.option("--canary", type=click.IntRange(0), help="So many first, until all of them have ended; 20.")
@click.option("--per-second", type=float, help="So many a second at most; 10.")
@click.option("--stop-above", type=float, metavar="RATIO", help="Stop when more of the first attempts fail; 0.1.")
@click.option("--never-stop", is_flag=True, help="Do not stop, however many fail.")
@click.option("--dry-run", is_flag=True, help="Count, and try the patch; nothing is changed.")
@click.option("--wait", is_flag=True, help="Watch it until it has ended.")
@yes_option
@timeout_option
@calls_the_api
def start(session: Session, *, dry_run: bool, wait: bool, yes: bool, timeout: float | None, **said: Any) -> None:
    """Repair dead letters, after a dry run and a question. Prints the id of the repair."""
    see_that_it_waits(timeout, waits=wait)
    found = session.api.post("/repairs", {**_asked(**said), "dry_run": True})
    if dry_run or not found["count"]:
        _preview(session, found)
        return
    if not session.out.as_json:
        _preview(session, found)
    left_out = f", without {found['refused_count']} that do not fit" if found["refused_count"] else ""
    session.confirm(f"Replay {found['count']} dead letters{left_out}?", yes=yes)
    repair = session.api.post("/repairs", {"token": found["token"]})
    if wait:
        _watch(session, repair["id"], timeout)
    elif session.out.as_json:
        session.out.document(repair)
    else:
        session.out.text(repair["id"])


def _asked(
    *,
    type_: str,
    fingerprint: str | None,
    labels: Sequence[str],
    search: str | None,
    since: str | None,
    until: str | None,
    created_since: str | None,
    created_until: str | None,
    patch: str | None,
    canary: int | None,
    per_second: float | None,
    stop_above: float | None,
    never_stop: bool,
) -> dict[str, Any]:
    chosen = {
        "type": type_,
        "fingerprint": fingerprint,
        "label": label_filters(labels) or None,
        "q": search,
        "failed_after": moment_of(since, "--since"),
        "failed_before": moment_of(until, "--until"),
        "created_after": moment_of(created_since, "--created-since"),
        "created_before": moment_of(created_until, "--created-until"),
    }
    asked = {
        "patch": None if patch is None else payload_of(patch, "--patch"),
        "canary": canary,
        "per_second": per_second,
        "stop_above_failure_ratio": stop_above,
    }
    body = {name: value for name, value in asked.items() if value is not None}
    if never_stop:
        if stop_above is not None:
            raise click.UsageError("--stop-above and --never-stop contradict each other: give one of them")
        body["stop_above_failure_ratio"] = None
    return {**body, "filter": {name: value for name, value in chosen.items() if value is not None}}


def _preview(session: Session, found: Mapping[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.text(f"That match: {found['count']}")
    for example in found["sample"][:1]:
        session.out.text(f"before: {text.compact(example['before'])}")
        session.out.text(f"after:  {text.compact(example['after'])}")
    if found["refused_count"]:
        session.out.text(f"That do not fit, of {found['checked']} that were tried: {found['refused_count']}")
        session.out.table(REFUSED_COLUMNS, found["refused"][:5], empty="")


@repairs.command(name="list")
@click.option("--status", "statuses", type=STATUSES, multiple=True, help="May be repeated.")
@list_options
@calls_the_api
def list_(session: Session, *, statuses: Sequence[str], **paging: Any) -> None:
    """List repairs, newest first."""
    query = {"status": [status.upper() for status in statuses]}
    lists.show(session, "/repairs", COLUMNS, query, **paging, empty="There are no such repairs.")


@repairs.command()
@repair_id
@calls_the_api
def show(session: Session, repair_id: UUID) -> None:
    """Show where a repair stands, and what became of its tasks."""
    _show(session, session.api.get(path_of("repairs", str(repair_id))))


@repairs.command()
@repair_id
@click.option("--outcome", "outcomes", type=OUTCOMES, multiple=True, help="May be repeated.")
@list_options
@calls_the_api
def items(session: Session, repair_id: UUID, *, outcomes: Sequence[str], **paging: Any) -> None:
    """List the tasks of a repair, in the order in which they are replayed."""
    path = path_of("repairs", str(repair_id), "items")
    lists.show(session, path, ITEM_COLUMNS, {"outcome": list(outcomes)}, **paging, empty="There are no such tasks.")


@repairs.command()
@repair_id
@timeout_option
@calls_the_api
def watch(session: Session, repair_id: UUID, *, timeout: float | None) -> None:
    """Follow a repair until it has ended, or is paused; with --json, a line for each change."""
    _watch(session, str(repair_id), timeout)


def _steering(name: str, help_: str) -> Callable[..., None]:
    @repairs.command(name=name, help=help_)
    @repair_id
    @calls_the_api
    def command(session: Session, repair_id: UUID) -> None:
        _show(session, session.api.post(path_of("repairs", str(repair_id), name)))

    return command


_steering("pause", "Replay no more of its tasks until it is resumed.")
_steering("resume", "Go on where it was paused.")
_steering("stop", "End a repair; what it has replayed goes on.")
_steering("undo", "End a repair, and make those of its tasks dead letters again that have not started.")


def _watch(session: Session, id_: str, timeout: float | None) -> None:
    give_up = waiting.moment_after(timeout)
    last: Any = None
    while True:
        repair = session.api.get(path_of("repairs", id_))
        if session.out.as_json:
            told = {name: value for name, value in repair.items() if name != "rate"}
            if told != last:
                session.out.line(repair)
            last = told
        else:
            waiting.tell(repair_progress.line(repair))
        if repair["status"] not in GOES_ON or waiting.is_over(give_up):
            break
        time.sleep(LOOK_SECONDS if give_up is None else max(0.0, min(LOOK_SECONDS, give_up - time.monotonic())))
    if not session.out.as_json:
        waiting.tell("")
        _show(session, repair)
    waiting.exit_by([repair["status"]], lambda status: status not in GOES_ON)


def _left(repair: Mapping[str, Any]) -> int:
    counts = repair["counts"]
    return int(counts["remaining"] + counts["unended"])


def _show(session: Session, repair: Mapping[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(repair)
        return
    counts = repair["counts"]
    session.out.fields(
        [
            ("id", repair["id"]),
            ("type", repair["type"]),
            ("status", repair["status"]),
            ("reason", repair["reason"] or ""),
            ("progress", repair_progress.line(repair)),
            ("waiting or running", text.compact(counts["unended"])),
            ("not replayed", text.compact(counts["remaining"])),
            ("patch", "" if repair["patch"] is None else text.compact(repair["patch"])),
            ("started", text.moment(repair["created_at"])),
            ("ended", text.moment(repair["finished_at"])),
        ]
    )
