"""Commands for people: `flask --app app …`."""

import json
from dataclasses import asdict

import click
from flask import Flask
from rich.console import Console
from rich.table import Table

from app import messaging
from app.clock import utcnow
from app.commands import without_settings as app_unusable
from app.commands.admin import admin
from app.commands.audit import audit
from app.commands.backup import backup, restore
from app.commands.doctor import doctor
from app.commands.er_diagram import er_diagram
from app.commands.export import export
from app.commands.reencrypt import reencrypt
from app.commands.setup import setup
from app.commands.sink import sink
from app.commands.sql_roles import sql_roles
from app.commands.tail import tail
from app.commands.tasks import tasks
from app.commands.version import version
from app.commands.why import why
from app.database import transaction
from app.errors import SettingsError
from app.services.dispatch import queues
from app.services.measuring import integrity
from app.services.measuring.integrity import Report
from taskledger_sdk.packages import BrokenFiles

NEEDS_NO_SETTINGS = {"doctor", "tasks", "version"}
NEEDS_NO_TYPES = {"tasks", "version"}  # one only speaks HTTP, the other prints a constant


def register(app: Flask) -> None:
    """Add the commands to the flask command line."""
    for command in commands():
        app.cli.add_command(command)


def unusable(error: SettingsError | BrokenFiles) -> Flask:
    """What `flask --app app` runs in where the settings, or files of task types, are not usable."""
    names = {str(command.name) for command in commands()} | {"db"}  # Flask-Migrate's
    needed = NEEDS_NO_TYPES if isinstance(error, BrokenFiles) else NEEDS_NO_SETTINGS
    working = [command for command in commands() if command.name in needed]
    return app_unusable.application(error, working, sorted(names - needed))


def commands() -> list[click.Command]:
    """All of ours."""
    return [
        *(
            admin,
            audit,
            backup,
            check_integrity,
            doctor,
            er_diagram,
            export,
            reencrypt,
            restore,
            setup,
            sink,
            sql_roles,
            tail,
            tasks,
            version,
            why,
        ),
    ]


@click.command("integrity")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check_integrity(*, as_json: bool) -> None:
    """Check the ledger against itself and against the broker; exit status 1 when something is wrong."""
    waiting = messaging.waiting_hints(queues.known_queues())
    with transaction() as session:
        report = integrity.report(session, waiting, now=utcnow())
    if as_json:
        click.echo(json.dumps({**asdict(report), "findings": report.findings, "clean": report.clean}, default=str))
    else:
        _show(report)
    raise SystemExit(0 if report.clean else 1)


def _show(report: Report) -> None:
    console = Console()
    table = Table("what", "count", title=f"Integrity at {report.at:%Y-%m-%d %H:%M:%S} UTC")
    for name, count in report.tasks_by_status.items():
        table.add_row(name, str(count))
    for name, count in sorted(report.counters.items()):
        table.add_row(name.replace("_", " "), str(count))
    for queue in report.queues:
        hints = "unknown" if queue.waiting_hints is None else queue.waiting_hints
        table.add_row(f"queue {queue.queue}: hints / dispatched PENDING", f"{hints} / {queue.dispatched_pending_tasks}")
    console.print(table)
    for finding in report.findings or ["Clean: nothing is lost, nothing was recorded twice."]:
        console.print(finding, style="red" if report.findings else "green", highlight=False)
