"""Taskledger: what happens to a submitted task. `flask --app app` finds the web application here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> "Flask":
    """The web application; imported only when asked for, so that workers load no Flask."""
    from app import factory
    from app.errors import SettingsError
    from taskledger_sdk.packages import BrokenFiles

    try:
        app = factory.create_app()
    except (SettingsError, BrokenFiles) as error:
        from app import cli

        return cli.unusable(error)
    if not factory.is_served():
        from app import cli  # a tenth of a second and 10 MB

        cli.register(app)
    return app
