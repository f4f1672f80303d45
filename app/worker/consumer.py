"""Celery's consumer, told what to do with messages that are no hints of ours: show them as dead letters, go on."""

from functools import partial
from typing import Any

import structlog
from celery.worker.consumer import Consumer
from kombu.common import ignore_errors

from app.config import get_settings
from app.messaging import DeadLetter, publish_dead_letter
from app.messaging.messages import BODY_CHARACTERS
from app.worker.consumption import Consumption
from app.worker.hint_consumer import HintConsumer
from tasks.topology import DEAD_LETTERS

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
_BLUEPRINT: Any = Consumer.Blueprint


class LedgerConsumer(Consumer):
    """None of these messages loops, and none ends the worker (Celery would lose the undecodable ones silently)."""

    class Blueprint(_BLUEPRINT):  # type: ignore[misc]  # the stubs know no class within a class
        """Celery's steps, and ours."""

        default_steps = (*_BLUEPRINT.default_steps, "app.worker.consumption:Consumption")

    connection_errors: tuple[type[BaseException], ...]
    amqheartbeat: float | None
    hub: Any
    consumption: Consumption

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app.amqp.Consumer = HintConsumer

    def connect(self) -> Any:
        """Connect, and see that there is a place for what the broker itself moves to the dead letters.

        Celery forgets a connection that comes about and is of no use then: a server that refuses writes does so when
        the event loop is told of it. Nobody would ever close its sockets.
        """
        self.initial_prefetch_count = self.consumption.first_prefetch(self)
        connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        try:
            if self.hub:
                connection.transport.register_with_event_loop(connection.connection, self.hub)
            self._declare_dead_letters(connection)
        except BaseException:
            ignore_errors(connection, partial(connection.collect, socket_timeout=CLOSE_SECONDS))
            raise
        return connection

    def _update_prefetch_count(self, index: int = 0) -> None:
        """The pool has grown or shrunk: the next look at the places finds out."""
        if self.consumption.leaves_prefetch_to_celery:
            super()._update_prefetch_count(index)  # type: ignore[misc]  # the stubs leave it out

    @staticmethod
    def _declare_dead_letters(connection: Any) -> None:
        """Without the queue rejected messages vanish without a word: Celery declares only those that it consumes."""
        if not get_settings().broker.dead_letters:
            return
        try:
            with connection.channel() as channel:
                DEAD_LETTERS(channel).declare()
        except connection.channel_errors as error:  # declared before with other arguments: still a place
            log.warning("dead_letters_not_declared", error=str(error))

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """The connection for what Flower is told. The worker's loop waits for no confirmation of that."""
        options = {"confirm_publish": False} if "confirm_publish" in self.app.conf.broker_transport_options else {}
        connection = self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=options)
        return self.ensure_connected(connection)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Not JSON, or of a content type that is not accepted."""
        self._publish_dead_letter(message, f"cannot be decoded: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """JSON, but not in the form of a Celery message."""
        self._publish_dead_letter(message, "is not a Celery message")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A hint of a type that this worker does not know; its row stays PENDING and tells so."""
        self._publish_dead_letter(message, f"names a task type that this worker does not know: {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A Celery message whose parts do not fit together."""
        self._publish_dead_letter(message, f"is not a valid hint: {exc}")

    def _publish_dead_letter(self, message: Any, reason: str) -> None:
        headers = message.headers or {}
        log.error("message_refused", reason=reason, task_id=headers.get("id"), type=headers.get("task"))
        shown = repr(message.body)[:BODY_CHARACTERS]
        letter = DeadLetter(
            reason=reason, task_id=_text(headers.get("id")), type=_text(headers.get("task")), detail={"body": shown}
        )
        publish_dead_letter(letter)
        message.ack_log_error(log, self.connection_errors)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:200]
