"""A log file that several processes write to, and that is put aside when it has grown."""

import fcntl
import logging
import os
import stat
from pathlib import Path
from typing import TextIO


class SharedFileHandler(logging.Handler):
    """Appends lines. Whoever finds the file too long renames it, under a lock; the others notice and open the new one.

    logging's own RotatingFileHandler is for one process: several would rename each other's files away.
    """

    def __init__(self, path: Path, *, most_bytes: int, backups: int) -> None:
        super().__init__()
        self._path = path
        self._most_bytes = most_bytes
        self._backups = backups
        self._file: TextIO | None = None
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, whole."""
        try:
            file = self._current()
            file.write(self.format(record) + "\n")
            file.flush()
        except Exception:  # noqa: BLE001 (a log line must never end the work it reports; logging's own rule)
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _current(self) -> TextIO:
        """The file that is at the path now, and not too long."""
        if self._file is None or not self._is_at_path(self._file):
            self._open()
        if self._file is not None and os.fstat(self._file.fileno()).st_size >= self._most_bytes:
            self._rotate()
            self._open()
        assert self._file is not None  # noqa: S101 (for mypy: _open sets it)
        return self._file

    def _open(self) -> None:
        if self._file is not None:
            self._file.close()
        # Line by line: appending is atomic, so that lines of several processes do not mix.
        self._file = _open_for_us(self._path)

    def _is_at_path(self, file: TextIO) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(file.fileno())
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _rotate(self) -> None:
        with _open_for_us(self._path.with_name(f"{self._path.name}.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.exists() and self._path.stat().st_size < self._most_bytes:
                return  # another process was first
            for number in range(self._backups, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
                if newer.exists():
                    newer.replace(older)


def _open_for_us(path: Path) -> TextIO:
    """The file, to append to: its account writes, its group reads (a collector of logs), and nobody else."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    found = os.fstat(descriptor)
    if found.st_mode & 0o007 and found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode):
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~0o007)  # made by an older version
    return os.fdopen(descriptor, "a", encoding="utf-8")
