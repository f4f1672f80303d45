"""Paused queues: the worker stops to consume them, and begins again; hints stay where they are."""

from typing import Any

import structlog

from app.database import Session, in_transaction, only_short_locks
from app.services.dispatch import queues
from app.services.dispatch.queues import Paused

log = structlog.get_logger(__name__)


def _pauses(session: Session) -> list[Paused]:
    only_short_locks(session)  # the thread that asks also tells that the worker lives: it must not wait
    return list(queues.pauses(session))


class PausedQueues:
    """Keeps what a worker consumes in step with what is paused."""

    def __init__(self, consumer: Any, served: list[str]) -> None:
        self._consumer = consumer
        self._served = set(served)
        self._cancelled: set[str] = set()

    def apply(self) -> None:
        """Cancel and resume consumers as needed; runs in a thread, so the event loop is asked to do it."""
        paused = {each.name for each in in_transaction(_pauses) if each.kind == "queue"} & self._served
        for name in paused - self._cancelled:
            log.info("queue_paused", queue=name)
            self._consumer.call_soon(self._consumer.cancel_task_queue, name)
        for name in self._cancelled - paused:
            log.info("queue_resumed", queue=name)
            self._consumer.call_soon(self._consumer.add_task_queue, name)
        self._cancelled = paused
