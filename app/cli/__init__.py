"""Commands of `flask --app app …`, beside those that Flask and its extensions bring."""

from flask import Flask

from app.cli.admin import admin
from app.cli.setup import setup


def register(application: Flask) -> None:
    """Add our commands to an application."""
    application.cli.add_command(admin)
    application.cli.add_command(setup)
