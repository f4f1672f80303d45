"""What a system that is compared can do: be started, be given work, and be seen to have done it."""

import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import ClassVar, Self

import psutil

from benchmarks.servers import Servers
from tests.support.servers.processes import Process

PATIENCE_SECONDS = 120.0
LOOK_SECONDS, SELDOM_SECONDS = 0.02, 0.2
SETTLED_SECONDS, REST_SECONDS = 20.0, 0.5
REST = 0.1  # of a processor, at most, is taken by what only waits
NEAR = 0.8  # of the tasks are done: from here on it looks often


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a process."""

    resident: float
    """What it uses, shared with others or not (RSS)."""
    own: float
    """What nobody else uses (USS): what one more of it costs."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement: moments (time.time()) of the first submission, the last one, and the last result."""

    began: float
    submitted: float
    ended: float


class System(ABC):
    """One system, set up once for each of its measurements."""

    name: ClassVar[str]
    tasks: ClassVar[int]
    """How many one measurement runs."""
    keeps: ClassVar[str]
    """What is left of a task, and whether it survives a power cut."""
    bulk: ClassVar[int] = 0

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.processes: list[Process] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.directory = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            self.start()
            self.settle()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    def run_process(self, process: Process) -> Process:
        """Start it; it ends with the measurement, and its processor time counts."""
        self._closing.enter_context(process)
        self.processes.append(process)
        return process

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it is ready."""

    def settle(self) -> None:
        """Wait until its processes rest: of a server that answers already, one process may still be loading."""
        give_up = time.monotonic() + SETTLED_SECONDS
        while time.monotonic() < give_up:
            before = self.cpu_seconds()
            time.sleep(REST_SECONDS)
            if self.cpu_seconds() - before < REST * REST_SECONDS:
                return

    def cpu_seconds(self) -> float:
        """User and system time of its processes and of the servers, of their children, and of those that ended."""
        total = 0.0
        for watched in (*self.processes, *self.servers.processes):
            for process in (psutil.Process(watched.pid), *psutil.Process(watched.pid).children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system + times.children_user + times.children_system
        return total

    @abstractmethod
    def submit(self, count: int) -> tuple[float, float]:
        """Submit so many; returns the moments of the first and of the last acceptance."""

    @abstractmethod
    def submit_slowly(self, count: int, pace: float) -> None:
        """Submit so many, one every `pace` seconds."""

    @abstractmethod
    def done(self) -> int:
        """How many are done, since it was started."""

    @abstractmethod
    def start_latencies(self) -> list[float]:
        """Seconds from the submission to the handler, of those that were submitted slowly."""

    worker: Process
    """Runs the handlers, itself or in its children."""

    def idle_child(self) -> Memory:
        """Memory of a process that runs handlers: the mean of the worker's children, or its own."""
        pids = self.worker.child_pids() or [self.worker.pid]
        found = [psutil.Process(pid).memory_full_info() for pid in pids]
        return Memory(
            resident=statistics.fmean(each.rss for each in found), own=statistics.fmean(each.uss for each in found)
        )

    def measure(self, count: int) -> Run:
        """Submit and wait for the last result."""
        before = self.done()
        began, submitted = self.submit(count)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while (done := self.done()) < before + count:
            assert time.monotonic() < give_up, f"{self.name}: {done - before} of {count} after {PATIENCE_SECONDS} s"
            is_near = done - before > NEAR * count
            time.sleep(LOOK_SECONDS if is_near else SELDOM_SECONDS)  # looking costs what is looked at time, too
        return Run(began=began, submitted=submitted, ended=time.time())
