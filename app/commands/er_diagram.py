"""`flask --app app er-diagram`: the tables as a Mermaid diagram, for docs/reference/tables.md."""

from pathlib import Path

import click

from app.services.sql.diagram import mermaid

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"
HEAD = """# Tables

Every table, its columns and what they name. Each table and column has a comment that says what it is; DBeaver and psql
(`\\d+ tasks`) show them. This page is made by `flask --app app er-diagram --write`.

Most lines are no foreign keys: hot tables do without, and a row may outlive what it names.

"""


def page() -> str:
    """The page as it has to be."""
    return f"{HEAD}```mermaid\n{mermaid()}\n```\n"


@click.command("er-diagram")
@click.option("--write", is_flag=True, help=f"Write {PAGE.name} instead of showing the diagram.")
def er_diagram(*, write: bool) -> None:
    """Show the tables as an entity-relationship diagram in Mermaid."""
    if write:
        PAGE.write_text(page(), encoding="utf-8")
        click.echo(f"Wrote {PAGE}.")
    else:
        click.echo(mermaid())
