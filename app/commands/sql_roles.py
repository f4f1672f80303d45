"""`flask --app app sql-roles`: who may use the views and functions of the schema taskledger, and for whom."""

import sys

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from rich.console import Console
from rich.table import Table

from app.clock import utcnow
from app.errors import NotFound
from app.models import UserRecord
from app.services.accounts import audit, users
from app.services.sql import roles
from app.web.transactions import transaction

NOT_ALLOWED = "42501"


@click.group("sql-roles")
def sql_roles() -> None:
    """Roles of the database for psql, DBeaver and programs of yours."""


@sql_roles.command()
@click.option("--print", "only_print", is_flag=True, help="Only print the statements, for an administrator to run.")
@with_appcontext
def create(*, only_print: bool) -> None:
    """Make taskledger_read (views) and taskledger_operate (functions, too); safe to repeat."""
    try:
        with transaction() as session:
            done = roles.statements(session) if only_print else roles.create(session)
    except sa.exc.DBAPIError as error:
        raise _explained(error) from error
    for statement in done:
        click.echo(f"{statement};")


@sql_roles.command()
@click.argument("role")
@click.option("--owner", required=True, metavar="EMAIL", help="The account whose tasks it submits, sees and changes.")
@click.option("--operate", is_flag=True, help="It may submit, cancel and retry; otherwise it may only read.")
@click.option("--all-rows", is_flag=True, help="It sees everybody's rows; otherwise the account's own only.")
@click.option("--create", "is_new", is_flag=True, help="Make the role, with a password that is asked for.")
@click.option("--password-stdin", is_flag=True, help="With --create: read the password from standard input.")
@with_appcontext
def add(role: str, owner: str, *, operate: bool, all_rows: bool, is_new: bool, password_stdin: bool) -> None:
    """Let a database role read, or operate, for an account."""
    password = _password(password_stdin=password_stdin) if is_new else None
    now = utcnow()
    try:
        with transaction() as session:
            roles.create(session)
            account = _account(users.by_email(session, owner), owner)
            if password is not None:
                roles.make_login(session, role, password)
            roles.add(session, role, account.id, operates=operate, reads_all=all_rows, now=now)
            detail = {"owner": str(account.id), "operates": operate, "reads_all": all_rows}
            audit.record(session, "sql_role.added", audit.COMMAND_LINE, now=now, subject=f"sql_role:{role}", **detail)
    except sa.exc.DBAPIError as error:
        raise _explained(error) from error
    except NotFound as error:
        raise click.ClickException(str(error)) from error
    may = "operate" if operate else "read"
    click.echo(f"{role} may {may} for {account.email}, and sees {'all rows' if all_rows else 'its own rows'}.")


@sql_roles.command()
@click.argument("role")
@with_appcontext
def remove(role: str) -> None:
    """Take back what a role may do; the role itself stays in the database."""
    now = utcnow()
    try:
        with transaction() as session:
            was_there = roles.remove(session, role)
            if was_there:
                subject = f"sql_role:{role}"
                audit.record(session, "sql_role.removed", audit.COMMAND_LINE, now=now, subject=subject)
    except sa.exc.DBAPIError as error:
        raise _explained(error) from error
    if not was_there:
        raise click.ClickException(f"{role} was not added: flask --app app sql-roles list shows who was.")
    click.echo(f"{role} may do nothing any more.")


@sql_roles.command("list")
@with_appcontext
def list_roles() -> None:
    """Show the roles that were added."""
    with transaction() as session:
        logins = roles.logins(session)
    table = Table("role", "account", "may", "sees")
    for login in logins:
        may = "operate" if login.operates else "read"
        table.add_row(login.role_name, login.owner, may, "all rows" if login.reads_all else "its own rows")
    Console().print(table)


def _password(*, password_stdin: bool) -> str:
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password of the role", hide_input=True, confirmation_prompt=True))


def _account(found: UserRecord | None, email: str) -> UserRecord:
    if found is None:
        raise NotFound(f"There is no account of {email}.")
    return found


def _explained(error: sa.exc.DBAPIError) -> click.ClickException:
    text = str(error.orig).strip()
    if getattr(error.orig, "pgcode", None) == NOT_ALLOWED:
        text += (
            "\nThe service's role may not do that here. Let an administrator of the database run the statements of\n"
        )
        text += "  flask --app app sql-roles create --print"
    return click.ClickException(text)
