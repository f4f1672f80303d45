"""`tledger server …`: the commands that need the database, as `flask --app app …` has them in a checkout."""

import os
import sys
from pathlib import Path

import click

from taskledger_server import ROOT, environment


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def server(arguments: tuple[str, ...]) -> None:
    """Commands of the service itself: setup, doctor, admin, backup, … (they need its database)."""
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "app"), *arguments]
    os.execve(sys.executable, command, environment(Path.cwd(), os.environ))  # noqa: S606 (no shell is wanted)
