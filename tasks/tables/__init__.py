"""Tables in files: rows of CSV, JSON lines and Parquet, read whole or refused, and what operations make of them.

A file is checked first, by Python's own readers (csv_files, json_lines), and only then read by DuckDB (engine), which
is told everything and guesses nothing. Cells stay the texts they are (columns); where an operation needs a number, a
date or a moment, all cells of the column decide whether they are (kinds). DuckDB is imported by the first call and not
before: the worker's parent stays small, and no thread of an engine is there when it forks.
"""

from tasks.tables.checking import check
from tasks.tables.columns import Column, Table
from tasks.tables.engine import Engine, open_engine
from tasks.tables.sources import MEDIA_TYPES, Checked, Format, Reading, Source, format_of
from tasks.tables.writing import Written

__all__ = [
    "MEDIA_TYPES",
    "Checked",
    "Column",
    "Engine",
    "Format",
    "Reading",
    "Source",
    "Table",
    "Written",
    "check",
    "format_of",
    "open_engine",
]
