"""What goes between a worker's parent and its children while an attempt runs: states up, the wish to stop down.

One pipe and one page of memory are made before the first child is forked. A child that is killed leaves both whole: a
write of less than PIPE_BUF bytes is atomic and takes no lock, and the page is written by the parent alone.
"""

from __future__ import annotations

import json
import mmap
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

SLOTS = 4096
LONGEST = min(select.PIPE_BUF, 4096)

_cancelled: Any = bytearray(SLOTS)
_hear: Callable[[str, str, float], None] | None = None
_writer: int | None = None


class Channel:
    """The parent's end. `reads_from` is a file descriptor that is readable when something was told; None: no children.

    In pools of one process `on_told` is called in the thread of the task.
    """

    def __init__(self, on_told: Callable[[str, str, float], None], *, forks: bool) -> None:
        global _cancelled, _hear, _writer  # children inherit them, as Celery's own state
        self.reads_from: int | None = None
        self._on_told, self._rest = on_told, b""
        self._free = list(range(SLOTS - 1, -1, -1))
        if not forks:
            _cancelled, _hear, _writer = bytearray(SLOTS), on_told, None
            return
        self._page: Any = mmap.mmap(-1, SLOTS)
        self.reads_from, _writer = os.pipe()
        os.set_blocking(self.reads_from, False)
        os.set_blocking(_writer, False)
        _cancelled, _hear = self._page, None

    def take_slot(self) -> int:
        """A place in the page for an attempt."""
        return self._free.pop()

    def free_slot(self, slot: int) -> None:
        """The attempt has ended."""
        _cancelled[slot] = 0
        self._free.append(slot)

    def ask_to_stop(self, slot: int) -> None:
        """`is_cancelled` is true for this attempt from now on."""
        _cancelled[slot] = 1

    def read(self) -> None:
        """Hand on what children have told."""
        assert self.reads_from is not None  # noqa: S101  (there is nothing to read otherwise)
        with suppress(BlockingIOError):
            self._rest += os.read(self.reads_from, 65536)
        *lines, self._rest = self._rest.split(b"\n")
        for task_id, note, fraction in _parsed(lines):
            self._on_told(task_id, note, fraction)


def _parsed(lines: list[bytes]) -> Iterator[tuple[str, str, float]]:
    for line in lines:
        with suppress(ValueError):  # never seen; a broken line must not stop the worker
            task_id, note, fraction = json.loads(line)
            yield task_id, note, fraction


def tell(task_id: str, note: str, fraction: float) -> None:
    """Tell the parent what an attempt says of itself; what does not fit is left to the next word, or the last."""
    if _hear is not None:
        _hear(task_id, note, fraction)
        return
    line = json.dumps([task_id, note, fraction], ensure_ascii=False).encode() + b"\n"
    if _writer is not None and len(line) <= LONGEST:
        with suppress(BlockingIOError):
            os.write(_writer, line)


def is_cancelled(slot: int) -> bool:
    """Whether the attempt of this slot is to stop."""
    return bool(_cancelled[slot])
