"""The files in which processes of one service count together; a count never costs the work that it counts.

prometheus_client maps sparse files into memory. Where their file system is full, the kernel ends the process at the
first write (SIGBUS); where no descriptor is left, a label that is new raises. Here space is taken beforehand, and what
cannot be kept in a file is counted in the memory of the process: it is missing from /metrics, and nothing else is.
"""

import mmap
import os
from typing import Any

import structlog
from prometheus_client import mmap_dict

log = structlog.get_logger(__name__)

_ENTRY_BYTES = 40  # what an entry takes beside its key, at most


class CountFile(mmap_dict.MmapedDict):
    """A file of counts whose space is allocated before it is mapped."""

    _f: Any  # a BinaryIO, which super() opens; None where counts are in memory only

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._f = None
        try:
            if not read_mode:
                _allocate(filename)
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]  # it has no types
        except OSError as error:
            self._count_in_memory(filename, error)

    def _count_in_memory(self, filename: str, error: OSError) -> None:
        log.warning("counts_in_memory", file=os.path.basename(filename), why=str(error))
        if self._f is not None:
            self._f.close()
        self._f, self._fname, self._positions = None, filename, {}
        self._used, self._capacity = 8, mmap_dict._INITIAL_MMAP_SIZE
        self._m = mmap.mmap(-1, self._capacity)
        mmap_dict._pack_integer(self._m, 0, self._used)

    def _init_value(self, key: str) -> None:
        if self._used + len(key.encode()) + _ENTRY_BYTES > self._capacity:
            self._grow()
        super()._init_value(key)  # type: ignore[no-untyped-call]  # it has no types

    def _grow(self) -> None:
        """Twice the room; in memory, with what was counted so far, where the file cannot have it."""
        try:
            if self._f is not None:
                os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
                return  # super() maps it
        except OSError as error:
            log.warning("counts_in_memory", file=os.path.basename(self._fname), why=str(error))
            self._f.close()
            self._f = None
        larger = mmap.mmap(-1, 2 * self._capacity)
        larger[: self._capacity] = self._m[: self._capacity]
        self._m, self._capacity = larger, 2 * self._capacity

    def close(self) -> None:
        """Close the file, or let go of the memory that stands for it."""
        if self._f is None:
            self._m.close()
        else:
            super().close()  # type: ignore[no-untyped-call]  # it has no types


def _allocate(filename: str) -> None:
    """Make the file as long as it has to be, with all of its blocks. Raises OSError (ENOSPC, EDQUOT, EMFILE)."""
    descriptor = os.open(filename, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        size = max(os.fstat(descriptor).st_size, mmap_dict._INITIAL_MMAP_SIZE)
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
