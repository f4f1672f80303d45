"""What a worker was started with."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

LARGEST_CONCURRENCY = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """The options of `celery -A proj ledger`; those that Celery's worker has mean the same."""

    hostname: str
    concurrency: int
    pool: str = "prefork"
    queues: Collection[str] | None = None
    """Only tasks that go to one of these; None: all."""
    excluded: Collection[str] = ()
    smallest: int | None = None
    """Of `--autoscale`: so many children when nothing waits; None: always `concurrency`."""
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    retire_after_seconds: float = 86_400.0
    """A type of this application that no worker has any more is retired after this."""

    def takes(self, queue: str) -> bool:
        """Whether tasks of this queue are run."""
        return (self.queues is None or queue in self.queues) and queue not in self.excluded


def default_concurrency() -> int:
    """As many as there are processors for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def autoscale_of(text: str) -> tuple[int, int]:
    """Most and least children of `--autoscale=10,3`. Raises ValueError."""
    most, _, least = text.partition(",")
    found = int(most), int(least or 0)
    if not 1 <= max(1, found[1]) <= found[0] <= LARGEST_CONCURRENCY:
        raise ValueError(f"--autoscale {text}: give most and least children, such as 10,3")
    return found[0], max(1, found[1])
