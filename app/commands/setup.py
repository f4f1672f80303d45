"""`flask --app app setup`: everything that must be there before the service starts; safe to run at every start."""

from datetime import datetime

import click
import flask_migrate
import sqlalchemy as sa
from flask.cli import with_appcontext

from app.clock import utcnow
from app.commands.declarations import store_declarations
from app.config import Settings
from app.database import Session
from app.errors import TaskledgerError
from app.models import Role, Scope, UserRecord
from app.services.accounts import api_keys, audit, passwords, registration, users
from app.services.dispatch import workers
from app.services.sql import published, roles
from app.web.current_settings import current_settings
from app.web.transactions import transaction
from taskledger_sdk.registry import load_types

KEY_NAME = "ADMIN_API_KEY"


@click.command()
@with_appcontext
def setup() -> None:
    """Bring the tables up to date, and make the first admin that ADMIN_EMAIL and ADMIN_PASSWORD name.

    The database is told of the task types and limits, which its functions for SQL apply. Schedules and limits that are
    written in code are stored, in place of those of an earlier release.

    With ADMIN_API_KEY that key is stored for the admin, too. What is there already is left as it is.
    """
    flask_migrate.upgrade()
    settings = current_settings()
    publish(settings)
    try:
        for line in store_declarations():
            click.echo(line)
    except TaskledgerError as error:
        raise click.ClickException(f"Nothing of what the code declares was stored: {error}") from error
    if not settings.admin_email:
        return
    try:
        for line in first_admin(settings):
            click.echo(line)
    except TaskledgerError as error:
        raise click.ClickException(f"ADMIN_EMAIL, ADMIN_PASSWORD: {error}") from error


def publish(settings: Settings) -> None:
    """Tell the database of the task types and limits that its functions apply; grants are renewed where roles are."""
    now = utcnow()
    with transaction() as session:
        _check_durable(session, now)
        published.types(session, load_types().values(), now=now)
        published.retire_others(session, load_types(), now=now)
        published.limits(session, settings, now=now)
        if roles.exists(session, roles.READ) and roles.exists(session, roles.OPERATE):
            for statement in roles.grants(session):
                session.execute(sa.text(statement))


def _check_durable(session: Session, now: datetime) -> None:
    """A worker of an older release would fail tasks that are WAITING, or leave them there."""
    durable = sorted(kind.name for kind in load_types().values() if kind.durable and not kind.internal)
    older = sorted({worker.node for worker in workers.alive(session, now=now) if not worker.knows_waiting})
    if durable and older:
        raise click.ClickException(
            f"{', '.join(durable)}: a type may be durable once every worker runs a release that knows tasks that are "
            f"WAITING, and {', '.join(older)} {'does' if len(older) == 1 else 'do'} not. Replace the workers first, by "
            "this release without these types, or stop them; then run this command again. Nothing was published."
        )


def first_admin(settings: Settings) -> list[str]:
    """See that the admin of the settings exists, and their key; returns what was done."""
    done: list[str] = []
    with transaction() as session:
        account = users.by_email(session, settings.admin_email)
    if account is None:
        account = _make(settings)
        done.append(f"Made the admin {account.email}.")
    key = settings.admin_api_key
    with transaction() as session:
        if key and account.role == Role.ADMIN and not api_keys.is_known(session, key):
            now = utcnow()
            made, _ = api_keys.create(
                session,
                account.id,
                name=KEY_NAME,
                scopes=list(Scope),
                expires_at=None,
                now=now,
                is_admin=True,
                key=key,
            )
            audit.record(session, "api_key.created", audit.COMMAND_LINE, now=now, subject=f"api_key:{made.id}")
            done.append(f"Stored the API key {made.prefix}... of {account.email}.")
    return done


def _make(settings: Settings) -> UserRecord:
    passwords.check_new(settings.admin_password, email=settings.admin_email)
    password_hash = passwords.hashed(settings.admin_password)
    now = utcnow()
    with transaction() as session:
        made = registration.create(
            session, email=settings.admin_email, name="Admin", password_hash=password_hash, now=now, role=Role.ADMIN
        )
        audit.record(session, "user.made_admin", audit.COMMAND_LINE, now=now, subject=f"user:{made.id}")
    return made
