"""The two commands."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from app.commands.backup import restoring, taking
from app.errors import TaskledgerError
from app.web.current_settings import current_settings

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--without-artifacts", is_flag=True, help="The database only; where a bucket keeps versions by itself.")
@json_option
@with_appcontext
def backup(folder: Path | None, *, without_artifacts: bool, as_json: bool) -> None:
    """Write the ledger and its files into a new FOLDER (backups/ and the time unless given); nothing need stop.

    SECRET_KEY and PAYLOAD_KEYS are not in it: keep them elsewhere, encrypted payloads cannot be read without them.
    """
    target = folder or Path("backups") / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        manifest = taking.take(current_settings(), target, with_artifacts=not without_artifacts, say=_say)
    except TaskledgerError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"folder": str(target), **asdict(manifest)}, indent=2))
        return
    click.echo(
        f"{target}: {sum(manifest.tasks.values())} tasks, {manifest.artifacts} artifacts, as of {manifest.taken_at}"
    )
    if manifest.artifacts_missing:
        click.echo(f"The content of {len(manifest.artifacts_missing)} artifacts was not there.", err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--replace", is_flag=True, help="Put the backup in the place of what is there.")
@json_option
@with_appcontext
def restore(folder: Path, *, replace: bool, as_json: bool) -> None:
    """Bring the ledger and its files back to a backup; the services must be stopped.

    Afterwards every task that was unfinished then is due again, also those that finished since: at least once, as ever.
    """
    try:
        manifest, revived = restoring.restore(current_settings(), folder, replace=replace, say=_say)
    except TaskledgerError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"taken_at": manifest.taken_at, **asdict(revived)}, indent=2))
        return
    count = sum(manifest.tasks.values())
    click.echo(f"Restored {count} tasks as of {manifest.taken_at}.")
    click.echo(f"{revived.given_back} of them start over, {revived.dispatched_again} are dispatched again.")
    click.echo("Now start the services.")
