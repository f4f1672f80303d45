"""`flask --app app audit`: the audit log as lines of JSON for other systems, and removing what is old."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import click
import sqlalchemy as sa

from app.clock import rfc_3339, utcnow
from app.commands.export import Day, opened
from app.database import transaction
from app.services.accounts import audit_chain
from app.services.events.sinks import AUDIT

MIN_KEPT = timedelta(days=30)


@click.group()
def audit() -> None:
    """The audit log: who did what."""


@audit.command()
@click.option("--since", type=Day(), required=True, help="Entries of then or later.")
@click.option("--until", type=Day(), help="Entries before; now unless given.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; else standard output.")
def export(*, since: datetime, until: datetime | None, output: Path | None) -> None:
    """Write entries as NDJSON, one a line, in the order in which they were added, with their hashes."""
    until = until or utcnow()
    if until <= since:
        raise click.BadParameter("must be later than --since", param_hint="--until")
    count = 0
    with transaction(autocommit=True) as session, opened(output) as stream:  # whoever reads the output may take hours
        for entry in audit_chain.entries(session, since, until):
            stream.write(json.dumps(audit_chain.plain(entry), ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} entries from {rfc_3339(since)} until before {rfc_3339(until)}", err=True)


@audit.command()
@click.option("--before", type=Day(), required=True, help="Remove entries that are older; 30 days are always kept.")
@click.option("--unsent", is_flag=True, help="Also entries that the sink `audit` has still to send.")
def prune(*, before: datetime, unsent: bool) -> None:
    """Remove old entries; export them first. The entries that stay can still be verified, and one tells of this.

    What the sink `audit` has still to send stays, unless --unsent is given.
    """
    if before > utcnow() - MIN_KEPT:
        raise click.BadParameter("must be at least 30 days ago", param_hint="--before")
    with transaction() as session:
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        waiting = 0 if unsent else audit_chain.unsent(session, before)
        if waiting:
            raise click.ClickException(
                f"{waiting} of these entries were not sent yet: start `flask --app app sink {AUDIT}` and "
                "see what stops it (GET /api/v1/sinks), or say --unsent to remove them all the same"
            )
        count = audit_chain.prune(session, before)
    click.echo(f"Removed {count} entries from before {rfc_3339(before)}.")
