"""What `flask --app app` finds where the settings are not usable: each command says so, the doctor still works."""

from collections.abc import Sequence
from typing import Any

import click
from flask import Flask

from app.errors import SettingsError


def application(error: SettingsError, working: Sequence[click.Command], complaining: Sequence[str]) -> Flask:
    """An application whose commands complain, but for those that need no settings."""
    app = Flask(__name__, static_folder=None)
    for command in working:
        app.cli.add_command(command)
    for name in complaining:
        app.cli.add_command(_complaining(name, error))
    return app


def _complaining(name: str, error: SettingsError) -> click.Command:
    def complain(**_: Any) -> None:
        raise click.ClickException(str(error))

    anything = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    options = {"ignore_unknown_options": True}
    return click.Command(name, callback=complain, params=[anything], context_settings=options)
