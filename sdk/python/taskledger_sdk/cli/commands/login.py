"""`tledger login`, `logout`, `whoami`, `profiles`."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from taskledger_sdk import connection, credentials
from taskledger_sdk.cli import text
from taskledger_sdk.cli.accounts import ask_password, logged_in, read_line, see_that_somebody_is_there
from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.cli.tables import Column, column
from taskledger_sdk.connection import Connection, checked_key
from taskledger_sdk.credentials import DEFAULT_PROFILE, Profile
from taskledger_sdk.http.addresses import base_url_of
from taskledger_sdk.http.transport import Transport

SCOPES = ("tasks:read", "tasks:write")


@click.command()
@click.option("--key-stdin", is_flag=True, help="Read an API key from standard input.")
@click.option("--email", help="Log in with a password instead, and make a key for this machine.")
@click.option("--password-stdin", is_flag=True, help="With --email: read the password from standard input.")
@click.option("--admin", is_flag=True, help="With --email: make a key that may do what an admin may.")
@calls_the_api
def login(session: Session, *, key_stdin: bool, email: str | None, password_stdin: bool, admin: bool) -> None:
    """Log in to a service, and keep an API key for it.

    Asks for the address, and for an API key or for e-mail address and password, with which it makes a key. The key is
    checked, and kept in ~/.config/taskledger/credentials.json, which only you can read. With --profile NAME, services
    are kept beside each other.
    """
    if key_stdin and (email or password_stdin or admin):
        raise click.UsageError("--key-stdin goes without --email, --password-stdin and --admin")
    path = credentials.path_of_file()
    kept = credentials.load(path, warn=session.out.note)
    name = session.wanted.profile or os.environ.get("TASKLEDGER_PROFILE") or DEFAULT_PROFILE
    target = _target(session, kept.get(name), asks=not (key_stdin or email))
    key = read_line("--key-stdin") if key_stdin else "" if email else _ask_key()
    key_id = None
    if not key:
        email = email or click.prompt("E-mail", err=True)
        key, key_id = _make_key(target, email, ask_password(from_stdin=password_stdin), admin=admin)
    with Transport(replace(target, api_key=checked_key(key, "What you gave"))) as api:
        me = api.get("/auth/me")
    may_be_plain = target.url.startswith("http:") and session.wanted.may_be_plain
    credentials.store(path, {**kept, name: Profile(url=target.url, api_key=key, may_be_plain=may_be_plain)})
    if session.out.as_json:
        session.out.document({"profile": name, "url": target.url, "account": me})
        return
    session.out.text(f"Logged in to {target.url} as {me['email']} ({', '.join(me['scopes'])}).")
    made = f" The key that was made is {key_id}." if key_id else ""
    session.out.note(f"The key is kept in {path}, profile {name}.{made}")
    for variable in ("TASKLEDGER_API_KEY", "TASKLEDGER_URL"):
        if os.environ.get(variable):
            session.out.note(f"{variable} is set, and wins over what is kept.")


@click.command()
@click.option("--all", "every", is_flag=True, help="Of all profiles.")
@calls_the_api
def logout(session: Session, *, every: bool) -> None:
    """Forget the API key of a profile. The key itself stays valid until it is revoked or expires."""
    path = credentials.path_of_file()
    kept = credentials.load(path, warn=session.out.note)
    name = session.wanted.profile or os.environ.get("TASKLEDGER_PROFILE") or DEFAULT_PROFILE
    forgotten = sorted(kept) if every else [name] if name in kept else []
    if kept:
        credentials.store(path, {each: profile for each, profile in kept.items() if each not in forgotten})
    if session.out.as_json:
        session.out.document({"profiles": forgotten})
        return
    for each in forgotten:
        session.out.text(f"Logged out of {kept[each].url} (profile {each}).")
    if forgotten:
        session.out.note("A key stays valid: `tledger keys revoke`, or the page of your account, ends it.")
    else:
        session.out.note(f"Profile {name} holds no key.")


@click.command()
@calls_the_api
def whoami(session: Session) -> None:
    """Show which service and which account commands use."""
    me = session.api.get("/auth/me")
    if session.out.as_json:
        session.out.document(me)
        return
    used = {name: f"{said['used']} of {said['allowed'] or 'any number'}" for name, said in me["quotas"].items()}
    session.out.fields(
        [
            ("service", session.connection.url),
            ("key from", session.connection.key_from),
            ("e-mail", text.compact(me["email"])),
            ("name", text.compact(me["name"])),
            ("role", text.compact(me["role"])),
            ("scopes", text.compact(", ".join(me["scopes"]))),
            ("only types", _only(me["allowed_types"])),
            ("only queues", _only(me["allowed_queues"])),
            *((name.replace("_", " "), said) for name, said in used.items()),
        ]
    )


@click.command()
@calls_the_api
def profiles(session: Session) -> None:
    """List the services that you are logged in to."""
    kept = credentials.load(credentials.path_of_file(), warn=session.out.note)
    used = session.wanted.profile or os.environ.get("TASKLEDGER_PROFILE") or DEFAULT_PROFILE
    items = [{"profile": name, "url": each.url, "used": name == used} for name, each in sorted(kept.items())]
    columns = (
        column("profile"),
        Column(heading="used", value=lambda each: "yes" if each["used"] else ""),
        column("url"),
    )
    session.out.page(columns, {"items": items, "next": None}, empty="No log-in is kept: `tledger login` keeps one.")


def _target(session: Session, old: Profile | None, *, asks: bool) -> Connection:
    """The service to log in to; a person is asked where no argument says."""
    local = connection.local_service(Path())
    likely = os.environ.get("TASKLEDGER_URL") or (old or local or Profile(url=connection.DEFAULT_URL, api_key="")).url
    url = session.wanted.url
    if url is None and asks:
        see_that_somebody_is_there("--url, and --key-stdin")
        url = click.prompt("Address of the service", default=likely, err=True)
    may_be_plain = session.wanted.may_be_plain or (old is not None and old.may_be_plain and old.url == url)
    checked = base_url_of(url or likely, may_be_plain=may_be_plain)
    ca_file = os.environ.get("TASKLEDGER_CA_FILE")
    return Connection(url=checked, ca_file=Path(ca_file) if ca_file else None)


def _only(names: list[str] | None) -> str:
    """What it is limited to; nothing where there is no limit."""
    return "" if names is None else text.compact(", ".join(names) or "none at all")


def _ask_key() -> str:
    see_that_somebody_is_there("--key-stdin")
    question = "API key (tl_…; empty: log in with a password)"
    key: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
    return key.strip()


def _make_key(target: Connection, email: str, password: str, *, admin: bool) -> tuple[str, str]:
    """A key for this machine, and its id."""
    body: dict[str, Any] = {"name": f"tledger on {socket.gethostname()}"[:200]}
    body["scopes"] = [*SCOPES, "admin"] if admin else [*SCOPES]
    with logged_in(target, email, password) as person:
        made = person.post("/api-keys", body)
    return made["key"], made["id"]
