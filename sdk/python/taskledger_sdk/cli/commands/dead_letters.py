"""`tledger dead-letters`: list, groups, replay, purge."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskledger_sdk.cli import lists, mass_changes, text
from taskledger_sdk.cli.inputs import moment_of
from taskledger_sdk.cli.options import list_options, yes_option
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.cli.task_table import outcome

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = (
    column("id"),
    column("type"),
    column("attempt", only_wide=True),
    Column(heading="failed", value=lambda task: text.moment(task["finished_at"]), only_wide=True),
    Column(heading="error", value=outcome),
)
GROUP_COLUMNS = (
    column("fingerprint"),
    column("count"),
    column("type"),
    Column(heading="last", value=lambda group: text.moment(group["last_at"])),
    column("example", "example_id", only_wide=True),
    Column(heading="error", value=lambda group: text.compact(f"{group['error_type']}: {group['message']}")),
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only count.")


def which(function: F) -> F:
    """--type, --fingerprint, --since, --until."""
    for option in (
        click.option("--until", help="Failed earlier."),
        click.option("--since", help="Failed then or later."),
        click.option("--fingerprint", help="With this cause; `groups` lists the causes."),
        click.option("--type", "type_", help="Of this type."),
    ):
        function = option(function)
    return function


@click.group()
def dead_letters() -> None:
    """List, replay and purge tasks that have FAILED."""


@dead_letters.command(name="list")
@which
@list_options
@calls_the_api
def list_(
    session: Session,
    *,
    type_: str | None,
    fingerprint: str | None,
    since: str | None,
    until: str | None,
    **paging: Any,
) -> None:
    """List tasks that have FAILED, newest first."""
    chosen = _chosen(type_, fingerprint, since, until)
    lists.show(session, "/dead-letters", COLUMNS, chosen, **paging, empty="There are no dead letters.")


@dead_letters.command()
@calls_the_api
def groups(session: Session) -> None:
    """List the causes of the last 30 days, most frequent first."""
    session.out.page(GROUP_COLUMNS, session.api.get("/dead-letters/groups"), empty="There are no dead letters.")


@dead_letters.command()
@which
@dry_run_option
@yes_option
@calls_the_api
def replay(
    session: Session,
    *,
    type_: str | None,
    fingerprint: str | None,
    since: str | None,
    until: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Replay all that match, after a count and a question; all there are, unless you choose.

    One of them: `tledger tasks replay ID`.
    """
    mass_changes.change(
        session,
        "/dead-letters/replay",
        _chosen(type_, fingerprint, since, until),
        question="Dead letters to replay: {count}. Go on?",
        done="Replayed: {count}",
        dry_run=dry_run,
        yes=yes,
    )


@dead_letters.command()
@which
@dry_run_option
@yes_option
@calls_the_api
def purge(
    session: Session,
    *,
    type_: str | None,
    fingerprint: str | None,
    since: str | None,
    until: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete all that match, with their history, after a count and a question; all there are, unless you choose."""
    mass_changes.change(
        session,
        "/dead-letters/purge",
        _chosen(type_, fingerprint, since, until),
        question="Dead letters to delete, with their history: {count}. Go on?",
        done="Deleted: {count}",
        dry_run=dry_run,
        yes=yes,
    )


def _chosen(type_: str | None, fingerprint: str | None, since: str | None, until: str | None) -> dict[str, str]:
    chosen = {
        "type": type_,
        "fingerprint": fingerprint,
        "failed_after": moment_of(since, "--since"),
        "failed_before": moment_of(until, "--until"),
    }
    return {name: value for name, value in chosen.items() if value is not None}
