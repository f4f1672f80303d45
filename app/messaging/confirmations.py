"""Publisher confirms: what a broker has said of many messages under way, and what is sent without asking for it."""

import time
from typing import Any

import structlog
from amqp.exceptions import MessageNacked
from kombu import Connection

from tasks.celery import app as celery_app

log = structlog.get_logger(__name__)

UNCONFIRMED = {"confirm_publish": False}  # of a connection on which the library waits for nothing
PAUSE_AFTER_FAULT_SECONDS = 5.0  # a broker that takes no more connections must not cost each hint an attempt


class Confirmations:
    """Counts messages as RabbitMQ does, and waits until it has said something of each.

    The client library's own way waits after each message: on a busy machine that is some milliseconds every time.
    """

    def __init__(self, channel: Any) -> None:
        """`channel`: one of py-amqp on which nothing was published yet."""
        self._connection = channel.connection
        self._last = 0
        self._open: set[int] = set()
        self._refused: set[int] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acknowledged)
        channel.events["basic_nack"].add(self._not_acknowledged)

    def next_number(self) -> int:
        """The number of the message that was just published."""
        self._last += 1
        self._open.add(self._last)
        return self._last

    def is_missing(self, number: int) -> bool:
        """Whether the broker has not confirmed this message: it has said nothing of it, or has refused it."""
        return number in self._open or number in self._refused

    def wait(self, seconds: float) -> None:
        """Wait until nothing is open.

        Raises TimeoutError where nothing is confirmed for so long, MessageNacked where the broker refused a message.
        """
        while self._open:
            before, until = len(self._open), time.monotonic() + seconds
            while len(self._open) == before:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"the broker has confirmed nothing for {seconds:g} s")
                self._connection.drain_events(timeout=left)  # raises socket.timeout, which is a TimeoutError
        if self._refused:
            raise MessageNacked

    def _acknowledged(self, number: int, multiple: bool) -> None:
        self._open -= self._meant(number, multiple)

    def _not_acknowledged(self, number: int, multiple: bool) -> None:
        refused = self._meant(number, multiple)
        self._open -= refused
        self._refused |= refused

    def _meant(self, number: int, multiple: bool) -> set[int]:
        return {each for each in self._open if each <= number} if multiple else {number}


class Immediate:
    """Stands in for them where a broker has taken a message once its publishing returns."""

    def next_number(self) -> int:
        """All are alike."""
        return 0

    def is_missing(self, number: int) -> bool:
        """None is."""
        return False

    def wait(self, seconds: float) -> None:
        """There is nothing to wait for."""


class SentEvents:
    """Tells Flower of hints, in place of Celery's event dispatcher at `send_task`; not for use by several threads.

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
