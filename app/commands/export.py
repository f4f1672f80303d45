"""`flask --app app export --from 2026-01-01 --to 2026-02-01`: tasks as CSV or Parquet."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import click

from app.database import transaction
from app.services.export.csv_cells import cell
from app.services.export.tasks import COLUMNS, ExportedTask, created_between

ROWS_A_GROUP = 20_000
MOMENT_TYPE = "TIMESTAMP WITH TIME ZONE"
# Everything else is text: ids and words as they are, structures as JSON.
TYPES = {
    **dict.fromkeys(COLUMNS, "VARCHAR"),
    **dict.fromkeys(("created_at", "scheduled_at", "started_at", "finished_at", "updated_at"), MOMENT_TYPE),
    "attempt": "INTEGER",
    "max_retries": "INTEGER",
}


class Day(click.ParamType[datetime]):
    """A day, or a moment; what has no time zone is in UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """As an aware moment in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date such as 2026-01-31 or 2026-01-31T09:00:00Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command("export")
@click.option("--from", "begin", type=Day(), required=True, help="Tasks accepted then or later.")
@click.option("--to", "end", type=Day(), help="Tasks accepted before; a day later than --from unless given.")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; for CSV standard output, too."
)
def export(*, begin: datetime, end: datetime | None, kind: str, output: Path | None) -> None:
    """Write the tasks of some days to a file. Secrets are masked, and sensitive types show no content."""
    end = end or begin + timedelta(days=1)
    if end <= begin:
        raise click.BadParameter("must be later than --from", param_hint="--to")
    if kind == "parquet" and output is None:
        raise click.BadParameter("is needed for Parquet", param_hint="--output")
    with transaction(autocommit=True) as session:  # whoever reads the output may take hours
        rows = created_between(session, begin, end)
        count = _to_parquet(rows, output) if kind == "parquet" and output is not None else _to_csv(rows, output)
    click.echo(f"{count} tasks from {begin:%Y-%m-%d %H:%M} until before {end:%Y-%m-%d %H:%M} UTC", err=True)


def _to_csv(rows: Iterator[ExportedTask], output: Path | None) -> int:
    count = 0
    with opened(output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([cell(getattr(row, name)) for name in COLUMNS])
            count += 1
    return count


def _to_parquet(rows: Iterator[ExportedTask], output: Path) -> int:
    """By way of a file of JSON lines, which DuckDB reads in pieces."""
    count = 0
    with TemporaryDirectory(prefix="taskledger-export-") as folder:
        lines = Path(folder) / "tasks.jsonl"
        with lines.open("w", encoding="utf-8") as stream:
            for row in rows:
                stream.write(json.dumps({name: _plain(getattr(row, name)) for name in COLUMNS}) + "\n")
                count += 1
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())
        try:
            import duckdb  # the API's image does without its 65 MB
        except ImportError as error:
            raise click.ClickException("Parquet needs DuckDB: run this in the worker's image, or take CSV") from error
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(
                f"COPY (SELECT * FROM read_json('{lines}', format = 'newline_delimited', columns = {{{columns}}})) "  # noqa: S608
                f"TO '{str(output).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, ROW_GROUP_SIZE {ROWS_A_GROUP})"
            )
    return count


def _plain(value: Any) -> Any:
    """Text, numbers and null; structures as JSON text."""
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | float | bool) else str(value)


@contextmanager
def opened(output: Path | None) -> Iterator[IO[str]]:
    """A file to write text to, or standard output."""
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", newline="") as stream:
        yield stream
