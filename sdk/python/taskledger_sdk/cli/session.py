"""What a command that calls the API is given: the service, and a place for its output."""

import sys
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any

import click

from taskledger_sdk import connection
from taskledger_sdk.cli.failures import Failed
from taskledger_sdk.cli.options import connection_options, json_option, remember
from taskledger_sdk.cli.output import Output
from taskledger_sdk.connection import Connection, Wanted
from taskledger_sdk.http.errors import RequestFailed
from taskledger_sdk.http.transport import Transport


class Session:
    """One call of the command line. The service is looked up when it is first needed: after the usage is checked."""

    def __init__(self, wanted: Wanted, *, as_json: bool) -> None:
        self.wanted = wanted
        self.out = Output(as_json=as_json)

    @cached_property
    def connection(self) -> Connection:
        """Where to, and as whom. Raises NotConfigured."""
        return connection.find(self.wanted, warn=self.out.note)

    @cached_property
    def api(self) -> Transport:
        """The service, with a credential. Raises NotConfigured, or Failed without a key."""
        found = self.connection
        if not found.api_key:
            raise Failed.not_logged_in(found.url)
        return Transport(found)

    def close(self) -> None:
        """Close what was opened."""
        if "api" in self.__dict__:
            self.api.close()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if a person agrees. Raises Failed, or UsageError where nobody can be asked."""
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.UsageError(f"{question} There is nobody to ask here: give --yes.")
        if not click.confirm(question, err=True):
            raise Failed("Nothing was changed.")


def calls_the_api(command: Callable[..., None]) -> Callable[..., None]:
    """Make a function of a Session and its own parameters a command: with --json, and failures told in words."""

    @json_option
    @connection_options(hidden=True)
    @wraps(command)
    def called(
        *arguments: Any,
        as_json: bool,
        url: str | None,
        profile: str | None,
        insecure_http: bool,
        **options: Any,
    ) -> None:
        wanted = remember(click.get_current_context(), url=url, profile=profile, insecure_http=insecure_http)
        session = Session(wanted, as_json=as_json)
        try:
            command(session, *arguments, **options)
        except RequestFailed as error:
            raise Failed(error) from error
        finally:
            session.close()

    return called
