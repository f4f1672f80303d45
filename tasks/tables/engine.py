"""The engine: a DuckDB that may open the named files and nothing else, whose work is watched, and ends when it must."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from taskledger_sdk.errors import PermanentError, TaskError
from tasks.tables import folders
from tasks.tables.columns import Column, Form, Table, fresh
from tasks.tables.kinds import declared
from tasks.tables.sources import MAX_CHARACTERS, Checked, Source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from taskledger_sdk.context import TaskContext

T = TypeVar("T")
MEMORY, SPILL = "200MB", "1GB"  # past the first, sorting and grouping go to disk; past the second they fail
OUTPUT_BYTES = 100 * 1024 * 1024
LOOK_SECONDS = 0.05
CLOSING_SECONDS = 5
# A line is at most so many bytes: four a character, and all of them quotes.
LINE_BYTES = 8 * MAX_CHARACTERS
# How every CSV file is read. The engine is left nothing to find out, and drops, fills and skips nothing.
STRICT = (
    "auto_detect = false, header = false, strict_mode = true, null_padding = false, ignore_errors = false, "
    f"comment = '', nullstr = '', allow_quoted_nulls = true, max_line_size = {LINE_BYTES}"
)


class NoSpace(TaskError):
    """The disk is full: nothing is wrong with the task, so it is tried again."""


class Engine:
    """A connection that reads what was checked, and writes into `folder`."""

    def __init__(
        self, connection: DuckDBPyConnection, folder: Path, sources: Sequence[Source], output_bytes: int
    ) -> None:
        self.connection = connection
        self.folder = folder
        self.output_bytes = output_bytes
        self._sources = sources
        self._stopping = False

    @property
    def checked_folder(self) -> Path:
        """Where files that must be written anew for the engine go."""
        return self.folder / "checked"

    @property
    def output_folder(self) -> Path:
        """Where the result goes."""
        return self.folder / "out"

    def load(self, checked: Checked) -> Table:
        """The rows of a file. Raises PermanentError if they are not all there, or not what the caller said they are."""
        table = self._parquet(checked) if checked.names is None else self._texts(checked, checked.names)
        return declared(table, checked.source.reading.types)

    def _texts(self, checked: Checked, names: tuple[str, ...]) -> Table:
        form: Form = "json" if checked.source.format == "jsonl" else "text"
        decimal = checked.options.get("decimal", ".")
        columns = tuple(Column(name=name, inner=fresh(), form=form, decimal=decimal) for name in names)
        if checked.rows == 0:
            shown = ", ".join(f"CAST(NULL AS VARCHAR) AS {column.inner}" for column in columns)
            nothing = self.connection.sql(f"SELECT {shown} WHERE false")
            return Table(connection=self.connection, rows=nothing, columns=columns, checked=checked)
        # The only SQL text with something from outside: paths, and one character that separates cells.
        said = ", ".join(f"{option} = {_literal(value)}" for option, value in checked.engine_options.items())
        types = ", ".join(f"'{column.inner}': 'VARCHAR'" for column in columns)
        source = f"read_csv({_literal(str(checked.path))}, columns = {{{types}}}, {said}, {STRICT})"
        rows = self.connection.sql(f"SELECT * FROM {source}")  # noqa: S608
        [(found,)] = rows.aggregate("count(*)").fetchall()
        if found != checked.rows:
            raise PermanentError(
                f"{checked.source.name}: the engine read {found:,} rows, and there are {checked.rows:,}; nothing was "
                "made of them. This is a fault of this program: please report it with the file"
            )
        return Table(connection=self.connection, rows=rows, columns=columns, checked=checked)

    def _parquet(self, checked: Checked) -> Table:
        rows = self.connection.read_parquet(str(checked.path))
        schema = self.connection.table_function("parquet_schema", [str(checked.path)]).project("name, num_children")
        names = list(_top_level(schema.fetchall()))
        if len(names) != len(rows.columns) or len(set(names)) < len(names):
            raise PermanentError(f"{checked.source.name}: its columns do not have names of their own")
        from duckdb import ColumnExpression

        columns = tuple(
            Column(name=name, inner=fresh(), form="typed", type=str(type_))
            for name, type_ in zip(names, rows.types, strict=True)
        )
        renamed = [
            ColumnExpression(theirs).alias(column.inner) for theirs, column in zip(rows.columns, columns, strict=True)
        ]
        return Table(connection=self.connection, rows=rows.select(*renamed), columns=columns, checked=checked)

    def run(self, task: TaskContext, work: Callable[[], T], *, start: float, end: float) -> T:
        """Do the work in a thread, so that whatever stops the task stops it too; progress goes from start to end.

        What stopped it is raised when the work has ended, and nothing else. Raises PermanentError for what DuckDB
        refuses, because the same rows would be refused again, and for a result that is too large to be kept.
        """
        results: list[T] = []
        faults: list[BaseException] = []
        done = threading.Event()

        def target() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 (handed to the waiting thread)
                faults.append(error)
            finally:
                done.set()

        thread = threading.Thread(target=target, name="duckdb", daemon=True)
        try:
            with _undisturbed():
                thread.start()
            # Not thread.join(): an exception of a signal handler in there makes Python 3.11 forget the thread.
            while not done.wait(LOOK_SECONDS):
                self._watch()
                share = min(100.0, max(0.0, self.connection.query_progress())) / 100
                task.progress(start + (end - start) * share)
        except BaseException:
            self._stop(thread, done)
            raise
        thread.join()
        for fault in faults:
            raise self._raised(fault) from None
        self._watch()
        return results[0]

    def go_on(self) -> None:
        """Raise InterruptedError between two statements if the work is to end."""
        if self._stopping:
            raise InterruptedError("the work is to end")

    def _watch(self) -> None:
        written = folders.size_of(self.output_folder)
        if written > self.output_bytes:
            raise PermanentError(
                f"the result is larger than {self.output_bytes:,} bytes (ARTIFACT_MAX_BYTES), so it cannot be kept; "
                "the work was ended. Keep fewer rows or columns, or group before joining"
            )

    def _stop(self, thread: threading.Thread, done: threading.Event) -> None:
        """End the work and wait for it: the statement that runs is interrupted, and any that may follow."""
        self._stopping = True
        while thread.ident is not None and not done.wait(LOOK_SECONDS):
            with suppress(Exception):
                self.connection.interrupt()
        if thread.ident is not None:
            thread.join()

    def _raised(self, fault: BaseException) -> BaseException:
        """A fault of the work as the task's; what DuckDB says is told without where the files are."""
        import duckdb

        if not isinstance(fault, duckdb.Error):
            return fault
        text = str(fault)
        if "No space left on device" in text:
            return NoSpace("the disk for temporary files of this worker is full")
        if isinstance(fault, duckdb.OutOfMemoryException):
            return PermanentError(
                f"it needs more than {MEMORY} of memory and {SPILL} of temporary files, and was ended; make it "
                "smaller, for example with a filter or with fewer columns first"
            )
        for source in self._sources:
            text = text.replace(str(source.path), source.name)
        return PermanentError(text.replace(str(self.folder), "…").partition("\n\nLINE ")[0].strip()[:1000])


@contextmanager
def open_engine(sources: Sequence[Source], *, output_bytes: int = OUTPUT_BYTES) -> Iterator[Engine]:
    """An engine over these files: no network, no extension, no other file, one thread, bounded memory and disk."""
    import duckdb

    with folders.temporary() as folder:
        for name in ("out", "checked"):
            (folder / name).mkdir()
        # The thread that works writes the files, too: DuckDB 2.0.0 waited for ever for its other threads in 2 of 100
        # runs when a COPY was interrupted (10 at a time, on two cores).
        threads: dict[str, Any] = {"threads": 1, "async_threads": 0}
        spill: dict[str, Any] = {"temp_directory": str(folder / "spill"), "max_temp_directory_size": SPILL}
        connection = duckdb.connect(config={**threads, **spill, "memory_limit": MEMORY})
        try:
            connection.execute("SET enable_progress_bar_print = false")  # a worker's output is for its log
            connection.execute("SET allowed_paths = ?", [[str(source.path) for source in sources]])
            connection.execute("SET allowed_directories = ?", [[f"{folder / name}/" for name in ("out", "checked")]])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield Engine(connection, folder, sources, output_bytes)
        finally:
            _close(connection)


def _close(connection: DuckDBPyConnection) -> None:
    """Close a connection whose work has ended; a busy one refuses, and is asked again for a few seconds."""
    import duckdb

    ends_at = time.monotonic() + CLOSING_SECONDS
    while True:
        try:
            return connection.close()
        except duckdb.Error:
            if time.monotonic() > ends_at:
                raise
            connection.interrupt()
            time.sleep(LOOK_SECONDS)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No signal of the worker comes in between: a thread that starts is one that will be waited for."""
    signals = {signal.SIGUSR1, signal.SIGUSR2}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _top_level(schema: list[tuple[str, int | None]]) -> Iterator[str]:
    """The names of the columns; a Parquet schema lists each group before what is in it."""

    def below(index: int) -> int:
        children, index = schema[index][1] or 0, index + 1
        for _ in range(children):
            index = below(index)
        return index

    index = 1
    while index < len(schema):
        yield schema[index][0]
        index = below(index)
