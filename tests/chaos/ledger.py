"""What happened during a scenario, in order, for the people who read the output of `make chaos`."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Ledger:
    """Lines with the seconds since the scenario began."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def note(self, what: str) -> None:
        """Write a line; from any thread."""
        with self._lock:
            self._lines.append(f"{time.monotonic() - self._began:7.2f} s  {what}")

    @contextmanager
    def timed(self, what: str) -> Iterator[list[float]]:
        """Note how long the block took; the list holds the seconds afterwards."""
        began, seconds = time.monotonic(), [0.0]
        try:
            yield seconds
        finally:
            seconds[0] = time.monotonic() - began
            self.note(f"{what}: {seconds[0]:.2f} s")

    @property
    def text(self) -> str:
        return "\n".join(self._lines)
