"""Children that are gone: a small thread of the parent process moves on what they held."""

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from app import clock
from app.database import in_transaction
from app.messaging import DeadLetter, publish_dead_letter
from app.services.recovery import rescue
from app.services.recovery.failures import Failure
from app.services.recovery.rescue import Moved
from app.worker import identity
from app.worker.outages import retry_while_unavailable
from app.worker.parent_thread import ParentThread

log = structlog.get_logger(__name__)

GONE_SECONDS = 3.0  # how long a process that was sent SIGKILL may take to end
MOVE_ON_SECONDS = 50.0  # then the lease has run out, and the dispatcher does it


@dataclass(frozen=True, kw_only=True)
class LostChild:
    """A hint whose child process is gone."""

    ids: tuple[UUID, ...]
    pid: int
    error: str
    by_shutdown: bool = False


class LostChildren:
    """Records lost attempts, in a thread of the parent."""

    def __init__(self) -> None:
        self._thread = ParentThread("lost-children", _record)

    def start(self) -> None:
        """Begin; called in the parent."""
        self._thread.start()

    def put(self, request: Any, error: BaseException, *, by_shutdown: bool = False) -> None:
        """Hand over a request whose child is gone; returns at once."""
        try:
            ids = tuple(UUID(str(id_)) for id_ in request.args)
        except ValueError:
            return  # no hint of ours; nothing was claimed for it
        self._thread.put(LostChild(ids=ids, pid=request.worker_pid or 0, error=str(error), by_shutdown=by_shutdown))

    def put_ids(self, ids: tuple[UUID, ...], pid: int, error: str) -> None:
        """Hand over tasks that are leased to a process which does not work on them."""
        self._thread.put(LostChild(ids=ids, pid=pid, error=error))

    def join(self, seconds: float) -> None:
        """Wait until all that was handed over is recorded, so long at most."""
        self._thread.join(seconds)


def _record(lost: LostChild) -> None:
    _wait_until_gone(lost.pid)
    _kill_group(lost.pid)
    retry_while_unavailable(lambda: _move_on(lost), seconds=MOVE_ON_SECONDS)


def _wait_until_gone(pid: int) -> None:
    """The pool reports a hard limit before it kills the child: its task must not start again beside it."""
    give_up = time.monotonic() + GONE_SECONDS
    while _runs(pid) and time.monotonic() < give_up:
        time.sleep(0.02)


def _kill_group(pid: int) -> None:
    """End what the handler of a child that is gone had started: a child leads a process group."""
    if pid > 0 and not _runs(pid) and pid != os.getpgrp():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Whether a child of this process runs; does not reap it, which is the pool's business."""
    try:
        return pid > 0 and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _move_on(lost: LostChild) -> None:
    moved = _interrupted(lost) if lost.by_shutdown else _lost(lost)
    publish_dead_letter(*(DeadLetter.of_lost(claim.id, claim.type, claim.attempt) for claim in moved.dead))
    log.warning("lost_child", pid=lost.pid, ids=[str(id_) for id_ in lost.ids], moved=moved.count, error=lost.error)


def _interrupted(lost: LostChild) -> Moved:
    worker, now = identity.worker_id(), clock.utcnow()
    return in_transaction(
        lambda session: rescue.interrupted(
            session, lost.ids, worker=worker, pid=lost.pid, now=now, random=random.random
        )
    )


def _lost(lost: LostChild) -> Moved:
    worker, now = identity.worker_id(), clock.utcnow()
    failure = Failure(type="WorkerLost", message=f"its process {lost.pid} on {worker} is gone: {lost.error}")
    return in_transaction(
        lambda session: rescue.lost_process(
            session, lost.ids, worker=worker, pid=lost.pid, failure=failure, now=now, random=random.random
        )
    )


LOST = LostChildren()
