"""What Flower is told of hints that were sent, without waiting for the broker to confirm it."""

import time
from typing import Any

import structlog
from kombu import Connection

from tasks.celery import app as celery_app

log = structlog.get_logger(__name__)

UNCONFIRMED = {"confirm_publish": False}
PAUSE_AFTER_FAULT_SECONDS = 5.0  # a broker that takes no more connections must not cost each hint an attempt


class SentEvents:
    """Stands in for Celery's event dispatcher at `send_task`; not for use by several threads.

    Celery would send the event with the producer of the hint, and wait for a second confirmation of the broker each
    time. A connection that confirms nothing takes it here. An event that gets lost is missing in Flower only, so that
    nothing is raised: the hint is confirmed, or it is not, whatever becomes of its event.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._can_confirm = "confirm_publish" in options
        self._dispatcher = celery_app.events.Dispatcher(enabled=False, buffer_while_offline=False)
        self._connection: Connection | None = None
        self._producer: Any = None
        self._not_before = 0.0  # time.monotonic()

    def publish(self, kind: str, fields: dict[str, Any], producer: Any, **_: Any) -> None:
        """Send an event; with the producer of the hint where the broker knows no confirmations."""
        if not self._can_confirm:
            self._dispatcher.publish(kind, fields, producer, retry=False)
            return
        if time.monotonic() < self._not_before:
            return
        try:
            self._dispatcher.publish(kind, fields, self._own_producer(), retry=False)
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not make a hint that was sent look lost)
            log.info("event_not_sent", error=repr(error))
            self._not_before = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
            self.close()

    def _own_producer(self) -> Any:
        if self._producer is None:
            seconds = celery_app.conf.broker_connection_timeout
            connection = celery_app.connection_for_write(transport_options=self._options | UNCONFIRMED)
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
            self._connection = connection
            self._producer = celery_app.amqp.Producer(connection, auto_declare=False)
        return self._producer

    def close(self) -> None:
        """Drop the connection without waiting for the broker's good-bye."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.collect()
