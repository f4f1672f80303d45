"""Temporary folders that are gone with the task; if its process was killed, when the next one begins."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PREFIX = "taskledger-tables-"
NEW = "taskledger-new-"
LOCK = ".lock"


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder of our own; what killed processes left is removed first."""
    sweep()
    # Under another name until it is locked: a folder that is not is one whose process has ended.
    made = Path(mkdtemp(prefix=NEW)).resolve()
    folder = made.with_name(made.name.replace(NEW, PREFIX, 1))
    try:
        with (made / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held for as long as this process lives
            made.rename(folder)
            yield folder
    finally:
        for each in (made, folder):
            shutil.rmtree(each, ignore_errors=True)


def sweep() -> None:
    """Remove the folders whose processes have ended without doing so."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open() as lock:  # another user's folder is none of ours
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """The bytes of the files in a folder."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total
