"""Checking a source: the file is read whole by Python's own readers, before the engine sees it."""

from __future__ import annotations

from pathlib import Path

from tasks.tables import csv_files, json_lines
from tasks.tables.sources import Checked, Source, Tick


def check(source: Source, folder: Path, tick: Tick) -> Checked:
    """What the engine reads in the place of a source; what must be written anew for that goes into `folder`.

    Raises PermanentError for a file that cannot be read in one way only; it names the line.
    """
    if source.format == "csv":
        return csv_files.check(source, folder, tick)
    if source.format == "jsonl":
        return json_lines.check(source, folder, tick)
    return Checked(source=source, path=source.path)  # a Parquet file says itself what is in it
