"""Counting in memory: the library's storage, without the race in which two threads start its timer at once."""

import threading
from typing import Any

from limits.storage import MemoryStorage

CLEAN_SECONDS = 1.0


class MemoryCounts(MemoryStorage):
    """limits' MemoryStorage, for many threads.

    The library makes a timer that forgets old counts, and starts it, in two steps. A second thread between the two
    starts the same one, which raises RuntimeError: now and then a request was answered with 500. It also made a thread
    for every hundredth of a second in which something was counted.
    """

    STORAGE_SCHEME = ["memory"]  # what RATE_LIMIT_STORAGE=memory:// makes from now on

    def __init__(self, *args: Any, **options: Any) -> None:
        self._starting = threading.Lock()
        super().__init__(*args, **options)

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802 (the library's own name for it)
        if self.timer.is_alive():
            return
        with self._starting:
            if not self.timer.is_alive():
                forget = getattr(self, "_MemoryStorage__expire_events")  # noqa: B009 (a private name of the library)
                self.timer = threading.Timer(CLEAN_SECONDS, forget)
                self.timer.daemon = True
                self.timer.start()
