"""How much of this machine a process may use: what its container was given, or else all there is."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60  # bytes; what cgroups of the first kind say where there is none
PARENT_BYTES = 256 << 20  # the worker's parent process, and room for the kernel's own accounts
SLOT_BYTES = (
    256 << 20
)  # a child with a handler of usual size; half of what it may grow to (worker_max_memory_per_child)


def worker_slots(*, cpus: float, memory_bytes: int | None) -> int:
    """How many handlers a worker runs at once: one for each processor, and as many as its memory holds; at least one.

    `cpus` may be a fraction, as containers are given; `memory_bytes` is None where nothing limits it.
    """
    slots = math.ceil(cpus)
    if memory_bytes is not None:
        slots = min(slots, (memory_bytes - PARENT_BYTES) // SLOT_BYTES)
    return max(slots, 1)


def worker_slots_here() -> int:
    """The same for this process."""
    return worker_slots(cpus=cpu_limit(), memory_bytes=memory_limit())


def cpu_limit(cgroups: Path = CGROUPS) -> float:
    """Processors that this process may use at once: the container's quota, or those that it may run on."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (_quota_of(cgroups / "cpu.max"), _old_quota_of(cgroups / "cpu"))
    return min([float(there), *(quota for quota in quotas if quota is not None)])


def memory_limit(cgroups: Path = CGROUPS) -> int | None:
    """Bytes that this process and its neighbours in the container may use; None where there is no limit."""
    words = (_words(path) for path in (cgroups / "memory.max", cgroups / "memory" / "memory.limit_in_bytes"))
    limits = [number for each in words for number in _numbers(each[:1])]
    return next((limit for limit in limits if limit < NO_LIMIT), None)


def _quota_of(file: Path) -> float | None:
    """Of cgroups of the second kind: `MICROSECONDS PERIOD`, or `max PERIOD`."""
    return _share(_numbers(_words(file)))


def _old_quota_of(folder: Path) -> float | None:
    """Of cgroups of the first kind: a file for each; -1 is no limit."""
    return _share(_numbers(_words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")))


def _share(numbers: list[int]) -> float | None:
    if len(numbers) != 2 or min(numbers) <= 0:
        return None
    return numbers[0] / numbers[1]


def _numbers(words: Iterable[str]) -> list[int]:
    return [int(word) for word in words if word.lstrip("-").isdecimal()]


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):  # there is no such limit, or none that can be read
        return []
