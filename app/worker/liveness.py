"""The parent process each second: says that the worker lives, follows pauses, and ends children that hang."""

import os
import platform
import signal
import socket
import threading
from datetime import timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from app import clock
from app.config import get_settings
from app.connection_uptime import ConnectionUptime
from app.database import Session, in_transaction, only_short_locks
from app.services.dispatch import workers
from app.services.lifecycle import leases
from app.services.recovery.suspicion import Suspicion
from app.services.sql import published
from app.version import VERSION
from app.worker import identity
from app.worker.lost_children import LOST
from app.worker.pauses import PausedQueues
from app.worker.shutdown import active_requests, signal_child
from taskledger_sdk.registry import load_types

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0


class Liveness:
    """Writes each second that this worker lives."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._row: dict[str, Any] = {}
        self._paused: PausedQueues | None = None
        self._continuity = ConnectionUptime()
        self._suspicion: Suspicion[tuple[UUID, int]] = Suspicion()
        self._lease = timedelta(0)
        self._has_published = False
        self._consumption: Any = None
        self._places_told: dict[str, Any] | None = None

    def start(self, consumer: Any) -> None:
        """Register the worker and begin to beat."""
        node, concurrency = consumer.hostname, consumer.controller.concurrency
        queues = [each.name for each in consumer.task_consumer.queues]
        self._paused = PausedQueues(consumer, queues)
        self._consumption = consumer.consumption
        self._lease = timedelta(seconds=get_settings().lease_seconds)
        self._row = {
            "id": identity.worker_id(),
            "node": node,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": concurrency,
            "queues": sorted(queues),
            "types": {name: task_type.schema_hash for name, task_type in load_types().items()},
            "upgrades": {name: list(kind.upgrade) for name, kind in load_types().items() if kind.upgrade},
            "version": VERSION,
            "runtime": _runtime(consumer),
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
        self._beat()  # at once: readiness waits for it
        while not self._stopping.wait(BEAT_SECONDS):
            self._beat()
        try:
            self._write(stopped=True)
        except sa.exc.SQLAlchemyError as error:
            log.warning("stop_not_written", error=str(error.__cause__ or error).strip())

    def _beat(self) -> None:
        try:
            self._write()
            if self._paused is not None:
                self._paused.apply()
            self._end_hung()
            self._publish_types()
        except Exception as error:  # noqa: BLE001 (a worker that beats no more loses all its tasks)
            self._continuity.broke()
            log.warning("liveness_not_written", error=f"{type(error).__name__}: {error.__cause__ or error}".strip())

    def _publish_types(self) -> None:
        """Once in a life: what tasks may be submitted through SQL is what some worker can run."""
        if not self._has_published:
            now = clock.utcnow()
            in_transaction(lambda session: published.newer_types(session, load_types().values(), now=now))
            self._has_published = True

    def _end_hung(self) -> None:
        """End children whose leases ran out.

        A child whose handler never lets go of the interpreter cannot renew its lease. Killing it first keeps the
        promise that nothing runs beside a replay; the pool then reports it as lost, and the row moves on.
        """
        hung = in_transaction(_hung)
        self._continuity.answered()
        confirmed = self._suspicion.confirmed(hung)
        if not self._continuity.has_lasted(self._lease):
            return  # after an outage children renew first
        for task_id, pid in confirmed:
            if pid == os.getpid():
                continue  # a pool of threads: the dispatcher moves the task on, and its outcome will be dropped
            if any(request.worker_pid == pid and str(task_id) in request.args for request in active_requests()):
                log.error("handler_killed", pid=pid, task_id=str(task_id), why="its lease ran out: no sign of life")
                signal_child(pid, signal.SIGKILL)
            else:
                # Nobody works on it any more (an answer got lost): the process may be busy with another task.
                LOST.put_ids((task_id,), pid, "its process has forgotten it")

    def _write(self, *, stopped: bool = False) -> None:
        now, places = clock.utcnow(), self._places()
        changed = {} if places == self._places_told else {"runtime": self._row["runtime"] | places}
        in_transaction(lambda session: workers.seen(session, self._row | changed, changed, stopped=stopped, now=now))
        self._places_told = places

    def _places(self) -> dict[str, Any]:
        """How many hints it could take now, and how many it works on that were acknowledged before they ended."""
        found = self._consumption.places
        return {"free": found.free, "acknowledged_early": found.acknowledged_early}


def _hung(session: Session) -> list[tuple[UUID, int]]:
    """Tasks whose lease has run out in the hands of this worker, each with its child."""
    only_short_locks(session)
    return leases.expired_at(session, identity.worker_id())


def _runtime(consumer: Any) -> dict[str, Any]:
    """What an operator compares when one worker behaves unlike the others."""
    pool = consumer.controller.pool_cls
    return {
        "pool": pool.__module__.rpartition(".")[2] if not isinstance(pool, str) else pool,
        "prefetch": consumer.initial_prefetch_count,
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
        workers.KNOWS_WAITING: True,
    }


LIVENESS = Liveness()
