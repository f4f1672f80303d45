"""What was accepted, and which final statuses are right for it."""

import threading
from collections import Counter
from collections.abc import Collection

COMPLETED = frozenset({"COMPLETED"})
FAILED = frozenset({"FAILED"})
CANCELLED_OR_DONE = frozenset({"CANCELLED", "COMPLETED"})


class Accounts:
    """Written by all clients; what a client was not told to be accepted it repeats under the same key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tasks: dict[str, frozenset[str]] = {}
        self.runs: dict[str, str] = {}
        self.schedules: set[str] = set()
        self.called_back: set[str] = set()
        self.awaiting_call: set[str] = set()
        self.replays: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def accept(self, kind: str, task_id: str, right: Collection[str] = COMPLETED) -> None:
        """A task, and the statuses in which it may end."""
        with self._lock:
            self.tasks[task_id] = frozenset(right)
            self.kinds[kind] += 1

    def accept_run(self, run_id: str, right: str) -> None:
        """A run, and how it has to end."""
        with self._lock:
            self.runs[run_id] = right
            self.kinds["workflow run"] += 1

    def accept_schedule(self, schedule_id: str) -> None:
        """A schedule of one moment: one task comes of it."""
        with self._lock:
            self.schedules.add(schedule_id)
            self.kinds["schedule"] += 1

    def replayed(self, task_id: str) -> None:
        """A dead letter that somebody asked to run once more."""
        with self._lock:
            self.replays[task_id] += 1
            self.kinds["replay"] += 1

    def refused(self, why: str) -> None:
        """A request that failed, and is repeated."""
        with self._lock:
            self.refusals[why] += 1
