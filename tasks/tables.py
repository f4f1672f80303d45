"""Tables in files: a DuckDB that may open the named files and nothing else, and whose work can be interrupted.

DuckDB is imported by the first call and not before: the worker's parent stays small, and no thread of an engine is
there when it forks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from tasks.errors import PermanentError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from tasks.context import TaskContext

T = TypeVar("T")
Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
MEMORY, SPILL = "200MB", "2GB"  # past the first, sorting and grouping go to disk; past the second they fail
LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read: where it is, how it is written, and what people call it."""

    path: Path
    format: Format
    name: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file that was made: where it is, how many rows it has, and the first of them, fit for JSON."""

    path: Path
    rows: int
    preview: list[dict[str, Any]]


class Engine:
    """A connection that reads its sources and writes into `folder`."""

    def __init__(self, connection: DuckDBPyConnection, folder: Path, sources: Sequence[Source]) -> None:
        self.connection = connection
        self.folder = folder
        self._sources = sources

    def read(self, source: Source) -> DuckDBPyRelation:
        """The rows of a source."""
        return self._read(str(source.path), source.format)

    def write(self, rows: DuckDBPyRelation, form: Format, *, preview: int) -> Written:
        """Write rows into a new file, and read the first `preview` of them again."""
        path = self.folder / f"result.{form}"
        rows.create_view("result")
        # The only SQL text here: it holds a path that is ours, and a format.
        options = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[form]
        [(count,)] = self.connection.execute(f"COPY result TO '{path}' ({options})").fetchall()
        first = self._read(str(path), form).limit(preview) if count else rows.limit(0)
        return Written(path=path, rows=count, preview=[_plain_row(rows.columns, row) for row in first.fetchall()])

    def _read(self, path: str, form: Format) -> DuckDBPyRelation:
        if form == "csv":
            return self.connection.read_csv(path, header=True)
        if form == "parquet":
            return self.connection.read_parquet(path)
        return self.connection.read_json(path, format="newline_delimited")

    def run(self, task: TaskContext, work: Callable[[], T], *, start: float, end: float) -> T:
        """Do the work in a thread, so that whatever stops the task stops it too; progress goes from start to end.

        Raises PermanentError for what DuckDB refuses: the same rows would be refused again.
        """
        import duckdb

        results: list[T] = []
        faults: list[BaseException] = []

        def target() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 (handed to the waiting thread)
                faults.append(error)

        thread = threading.Thread(target=target, name="duckdb", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(LOOK_SECONDS)
                share = min(100.0, max(0.0, self.connection.query_progress())) / 100
                task.progress(start + (end - start) * share)
        except BaseException:
            self.connection.interrupt()
            thread.join()
            raise
        for fault in faults:
            if isinstance(fault, duckdb.Error):
                raise PermanentError(self._told(fault)) from None
            raise fault
        return results[0]

    def _told(self, fault: Exception) -> str:
        """What DuckDB says, without where the files are."""
        text = str(fault)
        for source in self._sources:
            text = text.replace(str(source.path), source.name)
        return text.replace(str(self.folder), "…").partition("\n\nLINE ")[0].strip()[:1000]


@contextmanager
def open_engine(sources: Sequence[Source]) -> Iterator[Engine]:
    """An engine over these files: no network, no extension, no other file, one thread, bounded memory."""
    import duckdb

    with TemporaryDirectory(prefix="taskledger-") as name:
        folder = Path(name).resolve()
        (folder / "out").mkdir()
        options: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY, "temp_directory": str(folder / "spill")}
        connection = duckdb.connect(config={**options, "max_temp_directory_size": SPILL})
        try:
            paths = [str(source.path) for source in sources]
            connection.execute("SET allowed_paths = ?", [paths])
            connection.execute("SET allowed_directories = ?", [[f"{folder / 'out'}/"]])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield Engine(connection, folder / "out", sources)
        finally:
            connection.close()


def format_of(name: str, media_type: str = "") -> Format | None:
    """How a file is written, by its name, else by its media type."""
    return FORMATS.get(Path(name).suffix.lower()) or FORMATS.get(media_type)


def _plain_row(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {column: _plain(value) for column, value in zip(columns, row, strict=True)}


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates, decimals and the like become strings, NaN and Infinity null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
