"""`flask --app app version`: which release this is."""

import click

from app.version import VERSION


@click.command("version")
def version() -> None:
    """Show the version of Taskledger, and nothing else, so that scripts can use it."""
    click.echo(VERSION)
