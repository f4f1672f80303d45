"""Remote workers as they are seen: by what they ask and tell, in the table of all workers."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.clock import steady
from app.database import Session
from app.services.dispatch import workers
from app.services.lifecycle.lost import OF_REMOTE
from app.services.remote.queues import queue_of

WRITTEN_EVERY_SECONDS = 5.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """What a remote worker says of itself. Its name is its own within its account."""

    account: UUID
    name: str
    host: str = ""
    pid: int = 0
    version: str = ""
    concurrency: int = 1

    @property
    def id(self) -> str:
        """Its id among all workers, which tells the account from others and not which it is."""
        return f"{OF_REMOTE}{self.name}{_of_account(self.account)}"


def _of_account(account: UUID) -> str:
    return f"@{hashlib.sha256(account.bytes).hexdigest()[:12]}"


def is_of(worker_id: str, account: UUID) -> bool:
    """Whether a worker is one of this account. Pure."""
    return worker_id.startswith(OF_REMOTE) and worker_id.endswith(_of_account(account))


class Presence:
    """Remembers when this process last wrote that a worker was seen: they ask far more often than anybody looks."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_due(self, worker_id: str) -> bool:
        """Whether it is to be written again that this worker was seen; who asks writes it."""
        now = steady()
        with self._lock:
            if now - self._written.get(worker_id, -WRITTEN_EVERY_SECONDS) < WRITTEN_EVERY_SECONDS:
                return False
            if len(self._written) >= MAX_REMEMBERED:
                self._written.clear()
            self._written[worker_id] = now
            return True

    def forget(self, worker_id: str) -> None:
        """What was to be written was not, or does not hold any more."""
        with self._lock:
            self._written.pop(worker_id, None)


PRESENCE = Presence()


def seen(session: Session, worker: WorkerInfo, types: Mapping[str, str], *, now: datetime) -> None:
    """Write that a worker asks for tasks of these types, each with the hash of its schema."""
    life = {
        "id": worker.id,
        "kind": workers.REMOTE,
        "node": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "concurrency": worker.concurrency,
        "queues": sorted(map(queue_of, types)),
        "types": dict(types),
        "version": worker.version,
        "runtime": {"kind": workers.REMOTE},
        "started_at": now,
    }
    asked = {name: life[name] for name in ("queues", "types", "concurrency")}
    workers.seen(session, life, asked, stopped=False, now=now)


def heard_of(session: Session, worker_ids: Sequence[str]) -> None:
    """Write that workers told something of what they hold."""
    workers.touch(session, worker_ids)


def stopped(session: Session, worker_id: str, *, now: datetime) -> None:
    """Write that a worker has ended in order."""
    workers.stop(session, worker_id, now=now)
