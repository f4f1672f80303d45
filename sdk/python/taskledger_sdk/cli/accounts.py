"""Logging in with an e-mail address and a password, for what an API key may not do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import click

from taskledger_sdk.cli.failures import NOT_PERMITTED, Failed
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.errors import NotAuthenticated, RequestFailed
from taskledger_sdk.http.transport import Transport


@contextmanager
def logged_in(connection: Connection, email: str, password: str) -> Iterator[Transport]:
    """The service as this person; the log-in ends behind it. Raises Failed for a wrong password."""
    with Transport(replace(connection, api_key="")) as anybody:
        try:
            tokens = anybody.post("/auth/login", {"email": email, "password": password})
        except NotAuthenticated as error:
            raise Failed(str(error), exit_status=NOT_PERMITTED) from None  # it does not tell which of both is wrong
    with Transport(replace(connection, api_key=tokens["access_token"])) as person:
        try:
            yield person
        finally:
            with suppress(RequestFailed):  # it ends by itself after a while
                person.post("/auth/logout", {"refresh_token": tokens["refresh_token"]})


def ask_password(*, from_stdin: bool) -> str:
    """From standard input, or from a person. Raises UsageError where nobody can be asked."""
    if from_stdin:
        return read_line("--password-stdin")
    see_that_somebody_is_there("--password-stdin")
    password: str = click.prompt("Password", hide_input=True, err=True)
    return password


def read_line(option: str) -> str:
    """The first line of standard input, without its end. Raises UsageError when it is empty."""
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(f"{option} reads the first line of standard input, and it is empty")
    return line


def see_that_somebody_is_there(option: str) -> None:
    """Raises UsageError, which names the option for programs, where there is no terminal to ask at."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"There is nobody to ask here: give {option}.")
