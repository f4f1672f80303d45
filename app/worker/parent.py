"""What the worker's parent process does for its children: says that the worker lives, and moves on what they lost."""

import contextlib
import os
import queue
import random
import signal
import socket
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from celery.worker import state
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.database import in_transaction
from app.models import Worker
from app.services import rescue
from app.services.failures import Failure
from app.worker import identity
from app.worker.patience import DatabaseAway, patiently
from app.worker.stopping import GIVE_BACK_SIGNAL
from tasks.registry import load_types

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
MOVE_ON_SECONDS = 50.0  # then the lease has run out, and the dispatcher does it
GRACE_AFTER_SIGNAL_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class LostChild:
    """A hint whose child process is gone."""

    ids: tuple[UUID, ...]
    pid: int
    error: str
    by_shutdown: bool = False


class LostChildren:
    """A small thread that records lost attempts."""

    def __init__(self) -> None:
        self._queue: queue.Queue[LostChild] = queue.Queue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; called in the parent."""
        self._thread = threading.Thread(target=self._run, name="lost-children", daemon=True)
        self._thread.start()

    def put(self, request: Any, error: BaseException, *, by_shutdown: bool = False) -> None:
        """Hand over a request whose child is gone; returns at once."""
        ids = tuple(UUID(str(id_)) for id_ in request.args)
        lost = LostChild(ids=ids, pid=request.worker_pid or 0, error=str(error), by_shutdown=by_shutdown)
        self._queue.put(lost)

    def join(self, seconds: float) -> None:
        """Wait until all that was handed over is recorded, so long at most."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.05)

    def _run(self) -> None:
        while True:
            lost = self._queue.get()
            try:
                patiently(lambda each=lost: _move_on(each), seconds=MOVE_ON_SECONDS)
            except (DatabaseAway, sa.exc.SQLAlchemyError) as error:
                log.error("lost_child_not_recorded", ids=[str(id_) for id_ in lost.ids], error=str(error))
            finally:
                self._queue.task_done()


def _move_on(lost: LostChild) -> None:
    worker = identity.worker_id()
    now = clock.utcnow()
    if lost.by_shutdown:
        moved = in_transaction(
            lambda session: rescue.interrupted(session, lost.ids, worker=worker, pid=lost.pid, now=now)
        )
    else:
        failure = Failure(type="WorkerLost", message=f"its process {lost.pid} on {worker} is gone: {lost.error}")
        moved = in_transaction(
            lambda session: rescue.lost_process(
                session, lost.ids, worker=worker, pid=lost.pid, failure=failure, now=now, random=random.random
            )
        )
    log.warning("lost_child", pid=lost.pid, ids=[str(id_) for id_ in lost.ids], moved=moved, error=lost.error)


class Liveness:
    """Writes each second that this worker lives."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._row: dict[str, Any] = {}

    def start(self, node: str, *, concurrency: int, queues: list[str]) -> None:
        """Register the worker and begin to beat."""
        self._row = {
            "id": identity.worker_id(),
            "node": node,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": concurrency,
            "queues": sorted(queues),
            "types": {name: task_type.schema_hash for name, task_type in load_types().items()},
            "version": service_version(),
            "started_at": clock.utcnow(),
        }
        self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write that it stopped, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(3)

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            self._write()
        self._write(stopped=True)

    def _write(self, *, stopped: bool = False) -> None:
        now = clock.utcnow()
        changing = {"last_seen_at": now, "stopped_at": now if stopped else None}
        statement = insert(Worker).values(**self._row, **changing)
        statement = statement.on_conflict_do_update(index_elements=[Worker.id], set_={**changing})
        try:
            in_transaction(lambda session: session.execute(statement))
        except sa.exc.SQLAlchemyError as error:
            log.warning("liveness_not_written", error=str(error.__cause__ or error).strip())


def service_version() -> str:
    """The installed version, or `source` in a checkout."""
    try:
        return version("taskledger")
    except PackageNotFoundError:
        return "source"


class Shutdown:
    """Bounds a warm shutdown: handlers that still run after the grace period give their task back."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self, grace_seconds: float) -> None:
        """The worker was asked to stop; it has stopped to take hints, its children finish what they run."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, args=(grace_seconds,), name="shutdown", daemon=True).start()

    def _run(self, grace_seconds: float) -> None:
        time.sleep(grace_seconds)
        for request in _active():
            _signal(request.worker_pid, GIVE_BACK_SIGNAL)
        time.sleep(GRACE_AFTER_SIGNAL_SECONDS)
        for request in _active():
            log.error("handler_killed", pid=request.worker_pid, why="it did not stop when the worker shut down")
            _signal(request.worker_pid, signal.SIGKILL)
            LOST.put(request, ShutdownKill("killed at shutdown"), by_shutdown=True)
        LOST.join(5)


class ShutdownKill(Exception):
    """The parent killed a child that would not stop."""


def _active() -> list[Any]:
    while True:
        try:
            return [request for request in state.active_requests if request.worker_pid]
        except RuntimeError:  # changed while it was read
            continue


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


LOST = LostChildren()
LIVENESS = Liveness()
SHUTDOWN = Shutdown()
