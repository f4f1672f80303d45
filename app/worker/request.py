"""Celery's request, told to hand lost children to the parent's own thread."""

import threading
import time
from typing import Any

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from app.worker.lost_children import LOST

log = structlog.get_logger(__name__)


# A pool of threads tells of a task's end in the task's thread, while the event loop may settle its hint early.
_SETTLING = threading.Lock()


class LedgerRequest(Request):
    """A hint in the worker's parent process; its event loop never touches the database."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.received_at = time.monotonic()
        super().__init__(*args, **kwargs)

    @property
    def held_seconds(self) -> float:
        """How long ago it was delivered."""
        return time.monotonic() - self.received_at

    def acknowledge(self) -> None:
        """Tell the broker that the hint has done its work; once, whoever says so first."""
        with _SETTLING:
            super().acknowledge()

    def reject(self, requeue: bool = False) -> None:
        """Give the hint back; nothing where it was acknowledged."""
        with _SETTLING:
            super().reject(requeue=requeue)

    def revoked(self) -> bool:
        """Never: the row tells whether a task is cancelled. Celery's own list would drop its hints for three hours."""
        return False

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The pool ends the child because its hard limit is over."""
        if not soft:
            LOST.put(self, TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The hint failed: when its child is gone, nobody but the parent can say so."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError | SystemExit):
            LOST.put(self, error)
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
