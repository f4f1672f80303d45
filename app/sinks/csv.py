"""The csv sink: one line an event in a file a day, exactly once, whenever it is killed.

The size that a file had at a position is noted in the database with the position. What is written beyond it belongs to
a batch that was not noted: it is cut off at the next start and written again.
"""

import csv
import fcntl
import io
import os
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import structlog
from msgspec.structs import astuple

from app.database import Session
from app.services.events import History, Numbered
from app.services.export.csv_cells import cell
from app.services.export.event_rows import EventRow, rows_of

log = structlog.get_logger(__name__)

COLUMNS = EventRow.__struct_fields__
NAME = re.compile(r"events-(\d{4}-\d{2}-\d{2})\.csv")
LOCK_FILE = ".lock"


class CsvSink:
    """Appends to `directory`/events-YYYY-MM-DD.csv; files older than `keep_days` are deleted, 0 keeps them."""

    name = "csv"

    def __init__(self, directory: Path, *, keep_days: int) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._lock: IO[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._day: date | None = None
        self._history = History()

    def first_position(self, _: Session) -> int:
        """From the beginning of what is kept."""
        return 0

    def resume(self, state: dict[str, Any] | None) -> None:
        """Cut off what was written and not noted. Raises OSError where another process writes to the directory."""
        self.close()
        self._history = History()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = (self._directory / LOCK_FILE).open("wb")
        # The lock in the database says who may; this one holds back somebody who was frozen and does not know yet.
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if state is None:
            return
        self._day = date.fromisoformat(state["day"])
        self._open(size=int(state["size"]))

    def handle(self, session: Session, taken: Sequence[Numbered], *, now: datetime) -> dict[str, Any] | None:
        """Write the lines and wait for the disk."""
        self._keep_to_its_place()
        pending: list[EventRow] = []
        for row in rows_of(session, taken, self._history.before(session, taken)):
            # A late event of yesterday goes into today's file once that has begun: files are written one after another.
            day = max(row.at.date(), self._day or date.min)
            if day != self._day:
                self._write(pending)
                pending = []
                self._rotate(day)
            pending.append(row)
        self._write(pending)
        if self._file is None or self._day is None:
            return None
        os.fsync(self._file.fileno())
        return {"day": self._day.isoformat(), "size": self._file.tell()}

    def close(self) -> None:
        """Close the file and let another process write."""
        for stream in (self._file, self._lock):
            if stream is not None:
                stream.close()
        self._file = self._lock = self._day = None

    def _keep_to_its_place(self) -> None:
        """Begin anew where the file was moved away or deleted: what is written to it now, nobody would find."""
        if self._file is None or self._day is None:
            return
        try:
            is_there = os.path.samestat(self._path(self._day).stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            log.info("csv_file_was_moved", file=self._path(self._day).name)
            self._file.close()
            self._directory.mkdir(parents=True, exist_ok=True)
            self._open(size=None)
            self._sync_directory()

    def _rotate(self, day: date) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
        self._day = day
        self._open(size=0)  # what is there was written by a batch that was not noted
        self._sync_directory()
        self._forget_old(day)

    def _open(self, *, size: int | None) -> None:
        """Go on behind `size` bytes of the day's file; None: behind all that somebody has put there."""
        path = self._path(self._day or date.min)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        self._file = os.fdopen(descriptor, "r+b")
        length = self._file.seek(0, os.SEEK_END)
        if size is not None and length > size:
            self._file.truncate(size)
        elif size is not None and length < size:
            log.warning("csv_file_is_shorter", file=str(path), expected_bytes=size, found_bytes=length)
        if not self._file.seek(0, os.SEEK_END):
            self._write_header(self._file)

    def _path(self, day: date) -> Path:
        return self._directory / f"events-{day.isoformat()}.csv"

    def _write(self, rows: Sequence[EventRow]) -> None:
        if not rows or self._file is None:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(map(cell, astuple(row)) for row in rows)
        self._file.write(text.getvalue().encode())
        self._file.flush()

    def _write_header(self, file: IO[bytes]) -> None:
        file.write((",".join(COLUMNS) + "\n").encode())
        file.flush()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _forget_old(self, today: date) -> None:
        if not self._keep_days:
            return
        oldest = today - timedelta(days=self._keep_days)
        for path in self._directory.iterdir():
            found = NAME.fullmatch(path.name)
            if found and date.fromisoformat(found[1]) < oldest:
                path.unlink(missing_ok=True)
                log.info("csv_file_deleted", file=path.name)
