"""`flask --app app admin`: accounts, from the machine itself."""

import sys
from datetime import timedelta

import click
from flask.cli import with_appcontext

from app.clock import utcnow
from app.errors import Refused, TaskledgerError
from app.models import Role, Scope
from app.services.accounts import api_keys, audit, password_reset, passwords, registration, users
from app.web.current_settings import signing_keys
from app.web.transactions import transaction
from taskledger_sdk.cli.inputs import readable


@click.group()
def admin() -> None:
    """Accounts: making admins, and letting somebody in who forgot their password."""


@admin.command()
@click.option("--email", prompt=True, help="E-mail address to log in with.")
@click.option("--name", default="Admin", show_default=True, help="What to call them.")
@click.option("--key", "key_name", help="Also make an API key of this name with every scope, and print it.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; it is asked for otherwise."
)
@with_appcontext
def create(email: str, name: str, key_name: str | None, *, password_stdin: bool) -> None:
    """Make an admin, or make an existing account one (its password stays)."""
    try:
        key = _create(email, name, key_name, password_stdin=password_stdin)
    except (TaskledgerError, Refused) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{email} is an admin.")
    if key:
        click.echo(f"API key (shown once): {key}")


@admin.command("reset-password")
@click.option("--email", prompt=True, help="E-mail address of the account.")
@with_appcontext
def reset_password(email: str) -> None:
    """Print a code with which somebody sets a new password, at /reset-password, within an hour and once.

    Give it to them in a way that only they can read. Their password, log-ins and keys stay until they use it.
    """
    now = utcnow()
    with transaction() as session:
        account = users.by_email(session, email)
        current = None if account is None else users.password_hash(session, account.id)
        if account is None or current is None:
            raise click.ClickException(f"There is no open account of {email}: `admin create` makes one of an admin.")
        code = password_reset.code_for(account.id, current, keys=signing_keys(), now=now)
        audit.record(session, "user.password_reset_allowed", audit.COMMAND_LINE, now=now, subject=f"user:{account.id}")
    click.echo(
        f"For /reset-password of the dashboard, within {password_reset.LIFETIME // timedelta(minutes=1)} minutes:"
    )
    click.echo(code)


def _create(email: str, name: str, key_name: str | None, *, password_stdin: bool) -> str | None:
    now = utcnow()
    with transaction() as session:
        known = users.by_email(session, email)
    password_hash = "" if known else _ask_password(email, name, password_stdin=password_stdin)
    with transaction() as session:
        if known:
            account = users.change(session, known.id, {"role": Role.ADMIN.value, "is_disabled": False}, now=now)
        else:
            account = registration.create(
                session, email=email, name=name, password_hash=password_hash, now=now, role=Role.ADMIN
            )
        audit.record(session, "user.made_admin", audit.COMMAND_LINE, now=now, subject=f"user:{account.id}")
        if key_name is None:
            return None
        _, key = api_keys.create(
            session, account.id, name=key_name, scopes=list(Scope), expires_at=None, now=now, is_admin=True
        )
        return key


def _ask_password(email: str, name: str, *, password_stdin: bool) -> str:
    if password_stdin:
        with readable("-", "--password-stdin"):
            password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    passwords.check_new(password, email=email, name=name)
    return passwords.hashed(password)
