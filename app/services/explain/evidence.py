"""What is known of a task when somebody asks why it does not run. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from app.models import TaskRecord
from app.services.admission import Obstacle
from app.services.dispatch.queues import Paused
from app.services.dispatch.workers import WorkerSeen
from app.services.explain.answers import Answer
from app.services.measuring.readiness import LATEST_LOOK
from app.services.signals import Untaken
from app.services.tasks.checkpoints import Told
from app.services.tasks.waits import Wait

# So long a task may be past due before it counts as late: the dispatcher looks five times a second.
LATE = timedelta(seconds=3)


@dataclass(frozen=True, kw_only=True)
class DispatcherSeen:
    """When the duty that dispatches last succeeded, and what it failed with since."""

    last_success_at: datetime | None
    last_error: str | None

    def is_away(self, now: datetime) -> bool:
        """Whether nobody has dispatched lately."""
        return self.last_success_at is None or now - self.last_success_at > LATEST_LOOK


@dataclass(frozen=True, kw_only=True)
class Line:
    """Where a PENDING task stands in its queue."""

    ahead: int
    is_exact: bool
    started_per_second: float
    """Measured over the last minutes; 0: not known, or nothing was started."""
    started_lately: float
    """The same over the last seconds."""
    concurrency: int
    """How many handlers the live workers of the queue run at once."""
    busy: int

    @property
    def seconds(self) -> float | None:
        """An estimate of the wait, from what was measured; None when nothing was."""
        if self.ahead < self.concurrency - self.busy:
            return 0.0
        return (self.ahead + 1) / self.started_per_second if self.started_per_second > 0 else None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the rules look at."""

    task: TaskRecord
    now: datetime
    paused_type: Paused | None = None
    paused_queue: Paused | None = None
    workers: Sequence[WorkerSeen] = ()
    """Those that are alive."""
    holder: WorkerSeen | None = None
    """Who has the lease of a PROCESSING task."""
    checkpoint: Told | None = None
    """What the handler of a PROCESSING task has kept last."""
    dispatcher: DispatcherSeen | None = None
    passed_at: datetime | None = None
    """The newest dispatched_at that was claimed from the same queue and priority."""
    line: Line | None = None
    obstacle: Obstacle | None = None
    """What a task that is held waits for."""
    wait: Wait | None = None
    """What a WAITING task waits for."""
    untaken: Sequence[Untaken] = ()
    """Signals that it was sent, and that nothing has taken."""
    children: Sequence[UUID] = ()
    """Some of its children that have not ended."""
    unended_children: int = 0
    """How many of them there are."""

    @property
    def taking(self) -> list[WorkerSeen]:
        """The live workers that take from the task's queue."""
        return [each for each in self.workers if self.task.queue in each.queues]

    @property
    def overdue(self) -> timedelta:
        """How long ago it should have been looked at."""
        due_at = self.task.due_at
        return timedelta(0) if due_at is None else max(timedelta(0), self.now - due_at)


Rule: TypeAlias = Callable[[Evidence], Answer | None]
"""Its answer, without the name of its cause, where it holds."""
NamedRules: TypeAlias = Sequence[tuple[str, Rule]]
"""Causes by name, in the order in which they are asked."""


def answer(summary: str, **fields: Any) -> Answer:
    """The answer of a rule; who asks the rules names the cause."""
    return Answer(cause="", summary=summary, **fields)
