"""`tledger adopt`: what becomes of a Celery application when the ledger is put under it."""

import os
import sys
from typing import Any

import click

from taskledger_sdk.cli.session import Session, calls_the_api
from taskledger_sdk.client.options import as_json
from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.http.addresses import path_of
from taskledger_sdk.http.calls import Call
from taskledger_sdk.http.errors import Invalid

WITHOUT_CELERY = "There is no Celery here: install 'taskledger-sdk[celery]' where the application runs."
application_argument = click.argument("application")


@click.group()
def adopt() -> None:
    """Tell what becomes of a Celery application when the ledger is put under it."""


@adopt.command()
@application_argument
def check(application: str) -> None:
    """Import APPLICATION, such as proj.celery:app, and tell what is kept, what differs and what is refused.

    Exit status: 1 where anything is refused.
    """
    app = _imported(application)
    from taskledger_sdk.celery import checking

    found = checking.check(app)
    for each in found:
        click.echo(f"{each.word:8} {each.place}  {each.text}")
    counts = checking.counts(found)
    click.echo(f"{counts['refused']} refused, {counts['differs']} different.")
    if counts["refused"]:
        raise click.exceptions.Exit(1)


@adopt.command()
@application_argument
@click.option("--apply", "is_applied", is_flag=True, help="Store them; by itself they are only shown.")
@calls_the_api
def schedules(session: Session, application: str, *, is_applied: bool) -> None:
    """Show the beat_schedule of APPLICATION as schedules of the ledger, or store them; the same again changes nothing.

    Exit status: 1 where one of them is none that the ledger can have.
    """
    app = _imported(application)
    from taskledger_sdk.celery import beat

    found = list(beat.entries(app))
    for each in found:
        if each.refusal is None and is_applied:
            _store(session, each)
        click.echo(f"{each.word:8} {each.name}  {each.text}")
    if any(each.refusal for each in found):
        raise click.exceptions.Exit(1)


def _store(session: Session, entry: Any) -> None:
    call = Call(method="PUT", path=path_of("schedules", entry.name), content=as_json(entry.body), headers=JSON)
    try:
        session.api.answer(call)
    except Invalid as error:
        if error.code != "unknown_task_type":
            raise
        raise click.ClickException(
            f"{entry.name}: the ledger does not know {entry.task}. Start `celery -A proj ledger` first, which declares "
            "the tasks of the application (with -Q for a queue that is not the task's own)."
        ) from None


def _imported(application: str) -> Any:
    try:
        from celery.app.utils import find_app
    except ImportError:
        raise click.ClickException(WITHOUT_CELERY) from None
    sys.path.insert(0, os.getcwd())
    try:
        app = find_app(application)
        app.loader.import_default_modules()
        app.finalize()  # handlers of its signals may add periodic tasks
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"{application} cannot be imported: {error}") from None
    return app
