"""Taskledger: what happens to a submitted task. `flask --app app` finds the web application here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> "Flask":
    """The web application; imported only when asked for, so that workers load no Flask."""
    from app import cli, factory
    from app.errors import SettingsError
    from taskledger_sdk.packages import BrokenFiles

    try:
        app = factory.create_app()
    except (SettingsError, BrokenFiles) as error:
        return cli.unusable(error)
    cli.register(app)
    return app
