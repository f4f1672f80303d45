"""What processes count and time, for Prometheus; right for several processes of one service together.

Counts of tasks are not here: the ledger has them exactly (app/services/measuring/ledger_metrics.py).
docs/reference/metrics.md lists both, and a test keeps it true.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from app.config import get_settings
from app.observability.metric_files import CountFile
from app.private_files import private_directory

disable_created_metrics()  # a second series for each, which nobody reads
log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 1.0
NO_SLOT = 1_000_000_000  # added to the process id of a process that could not take a slot: its counts are its own
REGISTRY = CollectorRegistry()
# From a millisecond to the 7 days that an attempt may take.
SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1500,
    7200,
    43_200,
    604_800,
)
WAIT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)

# Every metric has a label: its values are made at the first use, when it is known whether processes count together.
HTTP_REQUEST_SECONDS = Histogram(
    "taskledger_http_request_seconds",
    "Time to answer a request",
    ["method", "route", "status"],
    buckets=SECONDS[:13],
    registry=REGISTRY,
)
TASK_WAIT_SECONDS = Histogram(
    "taskledger_task_wait_seconds",
    "From the moment a task was due to the claim of its attempt",
    ["type"],
    buckets=WAIT_SECONDS,
    registry=REGISTRY,
)
TASK_RUN_SECONDS = Histogram(
    "taskledger_task_run_seconds",
    "How long handlers ran, by how it ended",
    ["type", "outcome"],
    buckets=SECONDS,
    registry=REGISTRY,
)
HINTS_PUBLISHED = Counter(
    "taskledger_hints_published_total",
    "Hints handed to the broker: confirmed, failed (the dispatcher sends them again) or dropped (the queue was full)",
    ["result"],
    registry=REGISTRY,
)
DATABASE_RETRIES = Counter(
    "taskledger_database_retries_total",
    "Times that a worker tried again because the database was away: to claim tasks, or to record outcomes",
    ["what"],
    registry=REGISTRY,
)
DUTY_SECONDS = Histogram(
    "taskledger_duty_run_seconds",
    "How long one run of a dispatcher's duty took",
    ["duty"],
    buckets=SECONDS[:14],
    registry=REGISTRY,
)
DUTY_FAILURES = Counter(
    "taskledger_duty_failures_total", "Runs of a dispatcher's duty that failed", ["duty"], registry=REGISTRY
)
POOL_CONNECTIONS = Gauge(
    "taskledger_database_pool_connections",
    "Connections to PostgreSQL, by what they do: in_use, idle, or allowed (the most there may be)",
    ["process", "state"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)


_sampled_at = 0.0  # time.monotonic()


def sample_pool(pool: Any, *, process: str) -> None:
    """Note what the connections of a SQLAlchemy pool do now, at most once a second."""
    global _sampled_at
    now = time.monotonic()
    if now - _sampled_at < SAMPLE_SECONDS:
        return
    _sampled_at = now
    in_use = pool.checkedout()
    POOL_CONNECTIONS.labels(process, "in_use").set(in_use)
    POOL_CONNECTIONS.labels(process, "idle").set(pool.checkedin())
    POOL_CONNECTIONS.labels(process, "allowed").set(pool.size() + pool._max_overflow)  # no accessor for the latter


class Shared:
    """Where the processes of one service count: a directory with a numbered slot for each process that is alive.

    A slot is held with a file lock, which the kernel releases whatever the process dies of; whoever takes the slot next
    goes on with its counts. So nothing grows with the number of processes that ever were, and no count is lost.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: tuple[int, int | None] | None = None  # slot, file descriptor
        self._leaves_at_fork = False

    def slot(self) -> int:
        """The slot of this process; after a fork, another one than its parent's. Asked at every count."""
        if self._held is None:
            if not self._leaves_at_fork:
                os.register_at_fork(after_in_child=self._leave_to_parent)
                self._leaves_at_fork = True
            try:
                self._held = self._free_slot()
            except OSError as error:  # a full disk, or no descriptor left: counting must not cost the work
                self._held = (NO_SLOT + os.getpid(), None)
                log.warning("no_metrics_slot", why=str(error))
        return self._held[0]

    def _free_slot(self) -> tuple[int, int]:
        for number in itertools.count():
            lock = self._try_lock(number)
            if lock is not None:
                return number, lock
        raise AssertionError("unreachable: some slot is free")

    def _leave_to_parent(self) -> None:
        """In a child that was just forked: the inherited slot is its parent's, who keeps a lock of its own."""
        if self._held is not None and self._held[1] is not None:
            os.close(self._held[1])
        self._held = None

    def forget_the_dead(self) -> None:
        """What a gauge says of a process that is gone must not be added to what the others say."""
        for path in self.directory.glob("gauge_live*_*.db"):
            number = int(path.stem.rpartition("_")[2])
            lock = self._try_lock(number)
            if lock is not None:  # nobody has it; while it is locked, nobody takes it
                path.unlink(missing_ok=True)
                os.close(lock)

    def is_abandoned(self) -> bool:
        """Whether no process is alive that counts here."""
        for path in self.directory.glob("slot-*.lock"):
            lock = self._try_lock(int(path.stem.rpartition("-")[2]))
            if lock is None:
                return False
            os.close(lock)
        return True

    def _try_lock(self, number: int) -> int | None:
        descriptor = os.open(self.directory / f"slot-{number}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


_shared: Shared | None = None


def share(service: str, *, owner: int) -> None:
    """From here on, this process counts together with the others that have the same owner (a process id).

    Call it before anything is counted: in a process that forks, before it does, and then let only its children count.
    Raises SettingsError when somebody else has made the directory below the temporary one.
    """
    global _shared
    chosen = get_settings().metrics_dir
    if chosen is None:
        base = private_directory(Path(tempfile.gettempdir()) / f"taskledger-metrics-{os.geteuid()}", "METRICS_DIR")
    else:
        base = Path(chosen)
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(base / "lock"):
        _remove_abandoned(base)
        directory = base / f"{service}-{owner}"
        directory.mkdir(mode=0o700, exist_ok=True)
        _shared = Shared(directory)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        values.MmapedDict = CountFile  # type: ignore[attr-defined]  # nobody is meant to replace it
        values.ValueClass = values.MultiProcessValue(_shared.slot)  # takes a slot, so that nobody removes it


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_abandoned(base: Path) -> None:
    """Services that are gone left their directories; one of the same name as ours is that of an earlier start."""
    for directory in base.iterdir():
        if directory.is_dir() and Shared(directory).is_abandoned():
            shutil.rmtree(directory, ignore_errors=True)


def collector() -> Any:
    """Collects what this process and those that it shares with have counted."""
    if _shared is None:
        return REGISTRY
    _shared.forget_the_dead()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(_shared.directory))
    return registry


def exposition() -> bytes:
    """The same in Prometheus' text format."""
    return generate_latest(collector())


class _Everything:
    """For a server that is started once: looks anew at each scrape."""

    def collect(self) -> Any:
        return collector().collect()


def serve(host: str, port: int) -> Thread:
    """Offer /metrics over HTTP, in a thread. Raises OSError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(_Everything())
    _, thread = start_http_server(port, addr=host, registry=registry)
    return thread
