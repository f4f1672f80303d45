"""What a process is doing right now, shared between the threads that run handlers and the heartbeat."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.services.lifecycle import Claim
from app.services.tasks.task_log import LogLine, max_lines
from app.worker.checkpoints import Pending


@dataclass(kw_only=True, slots=True)
class Running:
    """The attempt whose handler runs."""

    claim: Claim
    timeout_seconds: float
    grace_seconds: float
    started: float = field(default_factory=time.monotonic)
    stop_asked: float | None = None  # time.monotonic() when the handler was asked to stop
    stop_error: BaseException | None = None  # why
    cancel: Callable[[], None] | None = None  # how its coroutine is cancelled; None while it runs none
    progress: dict[str, Any] | None = None  # reported and not yet written
    log: deque[LogLine] = field(default_factory=deque)  # likewise
    lines: int = 0
    checkpoint: Pending = field(default_factory=Pending)

    def write(self, line: LogLine) -> None:
        """Keep a line for the next heartbeat; those past the cap are dropped."""
        if self.lines < max_lines(time.monotonic() - self.started):
            self.lines += 1
            self.log.append(line)

    def take_log(self) -> list[LogLine]:
        """The lines that are not yet written; another thread may add to them meanwhile."""
        return [self.log.popleft() for _ in range(len(self.log))]


@dataclass(kw_only=True, slots=True)
class HintInProgress:
    """One hint in work: the tasks it still holds, and the one whose handler runs."""

    claims: dict[UUID, Claim]
    started: float = field(default_factory=time.monotonic)
    looked: float = 0.0  # time.monotonic() when its rows were last read
    current: Running | None = None
    cancelled: set[UUID] = field(default_factory=set)  # asked to stop before they started
    lost: set[UUID] = field(default_factory=set)  # no longer ours

    def seconds(self) -> float:
        """How long the hint has been in work."""
        return time.monotonic() - self.started


class InProgressRegistry:
    """Where handlers' threads and the heartbeat of a process meet: one hint in work for each thread that runs any."""

    def __init__(self) -> None:
        self._runs: dict[int, HintInProgress] = {}

    @property
    def runs(self) -> list[HintInProgress]:
        """What is in work; one hint in a child of the prefork pool, several in a pool of threads."""
        return list(self._runs.values())

    def begin(self, run: HintInProgress) -> None:
        """Note that this thread has a hint in work from now on."""
        self._runs[threading.get_ident()] = run

    def end(self) -> None:
        """Note that this thread has nothing in work."""
        self._runs.pop(threading.get_ident(), None)

    def is_running(self, running: Running) -> bool:
        """Whether this attempt's handler is the one that runs in its thread."""
        return any(run.current is running for run in self.runs)
