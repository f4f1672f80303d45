"""Celery's consumer, told what to do with messages that are no hints of ours: show them as dead letters, go on."""

from typing import Any

import structlog
from celery.worker.consumer import Consumer

from app.messaging import DeadLetter, bury
from app.messaging.dead_letter import BODY_CHARACTERS

log = structlog.get_logger(__name__)


class LedgerConsumer(Consumer):
    """None of these messages loops, and none ends the worker (Celery would lose the undecodable ones silently)."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Not JSON, or of a content type that is not accepted."""
        self._bury(message, f"cannot be decoded: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """JSON, but not in the form of a Celery message."""
        self._bury(message, "is not a Celery message")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A hint of a type that this worker does not know; its row stays PENDING and tells so."""
        self._bury(message, f"names a task type that this worker does not know: {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A Celery message whose parts do not fit together."""
        self._bury(message, f"is not a valid hint: {exc}")

    def _bury(self, message: Any, reason: str) -> None:
        headers = message.headers or {}
        log.error("message_refused", reason=reason, task_id=headers.get("id"), type=headers.get("task"))
        shown = repr(message.body)[:BODY_CHARACTERS]
        letter = DeadLetter(
            reason=reason, task_id=_text(headers.get("id")), type=_text(headers.get("task")), detail={"body": shown}
        )
        bury(letter)
        message.ack_log_error(log, self.connection_errors)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:200]
