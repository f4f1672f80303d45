"""`tledger keys`: list, create, revoke."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from taskledger_sdk.cli import lists, text
from taskledger_sdk.cli.accounts import ask_password, logged_in
from taskledger_sdk.cli.inputs import moment_of
from taskledger_sdk.cli.options import list_options
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.transport import Transport

SCOPES = click.Choice(("tasks:read", "tasks:write", "work", "admin"))
email_option = click.option("--email", help="Log in as this person, for this command only.")
password_option = click.option("--password-stdin", is_flag=True, help="With --email: read the password from stdin.")


def state_of(key: Any) -> str:
    """Whether it can be used."""
    if key["revoked_at"]:
        return f"revoked {text.moment(key['revoked_at'])}"
    return f"until {text.moment(key['expires_at'])}" if key["expires_at"] else "valid"


COLUMNS = (
    column("id"),
    column("name"),
    column("begins", "prefix"),
    Column(heading="scopes", value=lambda key: text.compact(" ".join(key["scopes"]))),
    Column(heading="last used", value=lambda key: text.moment(key["last_used_at"]), only_wide=True),
    Column(heading="state", value=state_of),
)


@click.group()
def keys() -> None:
    """List, make and revoke API keys. It takes an admin's key, or --email and a password."""


@keys.command(name="list")
@email_option
@password_option
@list_options
@calls_the_api
def list_(session: Session, *, email: str | None, password_stdin: bool, **paging: Any) -> None:
    """List your own keys, newest first; the keys themselves are not shown."""
    with _as(session, email, password_stdin=password_stdin) as api:
        session.api = api
        lists.show(session, "/api-keys", COLUMNS, **paging, empty="There are no keys.")


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=SCOPES, multiple=True, help="Repeatable; tasks:read and tasks:write by default."
)
@click.option("--expires-at", help="Refused from then on; never unless given.")
@click.option("--type", "types", multiple=True, help="Only for this task type; may be repeated.")
@click.option("--queue", "queues", multiple=True, help="Only for types of this queue; may be repeated.")
@email_option
@password_option
@calls_the_api
def create(
    session: Session,
    name: str,
    *,
    scopes: Sequence[str],
    expires_at: str | None,
    types: Sequence[str],
    queues: Sequence[str],
    email: str | None,
    password_stdin: bool,
) -> None:
    """Make a key for a program, and print it: this once, and nothing else on standard output."""
    body = {
        "name": name,
        "scopes": list(scopes) or ["tasks:read", "tasks:write"],
        "expires_at": moment_of(expires_at, "--expires-at"),
        "allowed_types": list(types) or None,
        "allowed_queues": list(queues) or None,
    }
    with _as(session, email, password_stdin=password_stdin) as api:
        made = api.post("/api-keys", {field: value for field, value in body.items() if value is not None})
    if session.out.as_json:
        session.out.document(made)
    else:
        session.out.text(made["key"])
        session.out.note(f"Keep it: it is not shown again. Its id is {made['id']}.")


@keys.command()
@click.argument("key_ids", nargs=-1, required=True, type=click.UUID, metavar="KEY_ID...")
@email_option
@password_option
@calls_the_api
def revoke(session: Session, key_ids: Sequence[Any], *, email: str | None, password_stdin: bool) -> None:
    """Revoke keys, by their ids: refused from now on."""
    with _as(session, email, password_stdin=password_stdin) as api:
        lists.each(
            session,
            [str(each) for each in key_ids],
            lambda id_: api.delete(path_of("api-keys", id_)),
            lambda key: f"{key['id']} {state_of(key)}",
        )


@contextmanager
def _as(session: Session, email: str | None, *, password_stdin: bool) -> Iterator[Transport]:
    """The service as the key in use, or as somebody who logs in for this."""
    if email is None:
        if password_stdin:
            raise click.UsageError("--password-stdin belongs to --email")
        yield session.api
        return
    with logged_in(session.connection, email, ask_password(from_stdin=password_stdin)) as person:
        yield person
