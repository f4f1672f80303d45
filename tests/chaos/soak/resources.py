"""What each process holds: descriptors, threads, connections, memory; and whether that has grown."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from tests.support.servers.processes import Process

SAMPLES, PAUSE_SECONDS = 9, 0.7
MOST = 1.10  # times as much at the end as at first
MEGABYTE = 1024 * 1024
# What one measurement differs from the next while nothing grows: pools breathe with the load of the moment.
SPARE = {"descriptors": 8.0, "threads": 2.0, "connections": 4.0, "memory": 10.0}
# A pool starts a thread when all that it has are taken, up to its size: how many there are at first is chance. The
# API's (app/server/worker.py): eight for requests, two for /health and one for /health/live, beside the one that polls.
FULL_POOLS = {"api child": {"threads": 12.0}}


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One process in a moment of calm, as the median of several looks; memory is its resident set in MB."""

    role: str
    pid: int
    started: float
    values: Mapping[str, float]


def measured(processes: Mapping[str, Process]) -> list[Usage]:
    """Look several times; processes that are there each time count."""
    looks: dict[tuple[str, int, float], list[dict[str, float]]] = {}
    for _ in range(SAMPLES):
        for role, process in _everybody(processes):
            try:
                looks.setdefault((role, process.pid, process.create_time()), []).append(_values(process))
            except psutil.NoSuchProcess:
                continue
        time.sleep(PAUSE_SECONDS)
    return [
        Usage(
            role=role,
            pid=pid,
            started=started,
            values={name: statistics.median(look[name] for look in seen) for name in SPARE},
        )
        for (role, pid, started), seen in looks.items()
        if len(seen) == SAMPLES
    ]


def _everybody(processes: Mapping[str, Process]) -> list[tuple[str, psutil.Process]]:
    """Workers are each other's siblings, and so are their children: they have one name."""
    found = []
    for name, process in processes.items():
        role = name.partition(" ")[0]
        main = psutil.Process(process.pid)
        found.append((role, main))
        found.extend((f"{role} child", child) for child in main.children(recursive=True))
    return found


def _values(process: psutil.Process) -> dict[str, float]:
    with process.oneshot():
        return {
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "connections": len(process.net_connections(kind="tcp")),
            "memory": process.memory_info().rss / MEGABYTE,
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A process at the end beside what it is compared with: itself at first, or its siblings then."""

    usage: Usage
    base: Mapping[str, float]
    is_itself: bool

    @property
    def grown(self) -> list[str]:
        """What has grown, in words."""
        return [
            f"{self.usage.role} {self.usage.pid}: {name} {self.base[name]:.0f} -> {value:.0f}"
            for name, value in self.usage.values.items()
            if value > max(self.base[name] * MOST, self.base[name] + SPARE[name])
        ]


def compared(first: Sequence[Usage], last: Sequence[Usage]) -> list[Comparison]:
    """Each process of the end with its own first measurement; where it is younger, with the largest sibling's.

    A child that had just begun at first has not loaded yet what each type of task loads (30 MB for pictures and PDFs):
    it may become as large as the median of its siblings was.
    """
    own = {(each.pid, each.started): each for each in first}
    comparisons = []
    for usage in last:
        before = own.get((usage.pid, usage.started))
        siblings = [each.values for each in first if each.role == usage.role]
        assert siblings, f"no {usage.role} was there at first"
        if before is None:
            base = {name: max(values[name] for values in siblings) for name in SPARE}
        else:
            usual = {name: statistics.median(values[name] for values in siblings) for name in SPARE}
            base = {name: max(before.values[name], usual[name]) for name in SPARE}
        for name, full in FULL_POOLS.get(usage.role, {}).items():
            base[name] = max(base[name], full)
        comparisons.append(Comparison(usage=usage, base=base, is_itself=before is not None))
    return comparisons


def table(comparisons: Sequence[Comparison]) -> str:
    """One line a process: at first -> at the end."""
    lines = []
    for each in sorted(comparisons, key=lambda one: (one.usage.role, one.usage.pid)):
        values = "  ".join(f"{name} {each.base[name]:.0f} -> {each.usage.values[name]:.0f}" for name in SPARE)
        whom = "itself" if each.is_itself else "its largest sibling"
        lines.append(f"  {each.usage.role:16} {values} MB (beside {whom})")
    return "\n".join(lines)
