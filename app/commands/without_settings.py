"""What `flask --app app` finds where settings or task types are not usable: each command that needs them says so."""

from collections.abc import Sequence
from typing import Any

import click
from flask import Flask

from app.errors import SettingsError
from taskledger_sdk.packages import EXIT_STATUS, BrokenFiles


def application(
    error: SettingsError | BrokenFiles, working: Sequence[click.Command], complaining: Sequence[str]
) -> Flask:
    """An application whose commands complain, but for those that need no settings."""
    app = Flask(__name__, static_folder=None)
    for command in working:
        app.cli.add_command(command)
    for name in complaining:
        app.cli.add_command(_complaining(name, error))
    return app


def _complaining(name: str, error: SettingsError | BrokenFiles) -> click.Command:
    def complain(**_: Any) -> None:
        complaint = click.ClickException(str(error))
        if isinstance(error, BrokenFiles):
            complaint.exit_code = EXIT_STATUS  # type: ignore[misc]  # click reads it from the instance
        raise complaint

    anything = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    options = {"ignore_unknown_options": True}
    return click.Command(name, callback=complain, params=[anything], context_settings=options)
