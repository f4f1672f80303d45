"""Options that many commands share, and what was said with them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskledger_sdk.connection import Wanted

F = TypeVar("F", bound=Callable[..., Any])

PRIORITIES = click.Choice(("high", "normal", "low"))

json_option = click.option("--json", "as_json", is_flag=True, help="For programs: the API's JSON.")
labels_option = click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="May be repeated.")
timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after so long."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def connection_options(*, hidden: bool = False) -> Callable[[F], F]:
    """--url, --profile and --insecure-http: before the command, and (hidden in its help) behind it."""

    def decorated(function: F) -> F:
        for option in (
            click.option("--insecure-http", is_flag=True, hidden=hidden, help="Allow http:// to another machine."),
            click.option("--profile", hidden=hidden, help="What to use of what `tledger login` has kept."),
            click.option("--url", hidden=hidden, help="Address of the service."),
        ):
            function = option(function)
        return function

    return decorated


def list_options(function: F) -> F:
    """--limit, --all and --cursor."""
    for option in (
        click.option("--cursor", help="Go on where a list before has ended."),
        click.option("--all", "every", is_flag=True, help="All there are; with --json, one object a line."),
        click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="So many at most."),
    ):
        function = option(function)
    return function


def see_that_it_waits(timeout: float | None, *, waits: bool) -> None:
    """Raises UsageError for a --timeout without --wait: it would bound nothing."""
    if timeout is not None and not waits:
        raise click.UsageError("--timeout belongs to --wait: it says how long this command waits")


def remember(context: click.Context, *, url: str | None, profile: str | None, insecure_http: bool) -> Wanted:
    """Keep what was said about the connection; what a command says wins over what stands before it."""
    said = context.find_object(Wanted) or Wanted()
    context.obj = Wanted(
        url=url or said.url, profile=profile or said.profile, may_be_plain=insecure_http or said.may_be_plain
    )
    return context.obj  # type: ignore[no-any-return]  # of click, which does not know what it holds
