"""One connection for publishing hints, on which nothing waits longer than a few seconds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from amqp.exceptions import ChannelError, MessageNacked
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from app.config import get_settings
from app.messaging.dead_letter import DeadLetter
from app.messaging.events import Slice
from app.messaging.flower import SentEvents
from app.messaging.hint import Hint
from app.messaging.signing import HEADER, signature
from app.observability import tracing
from app.observability.metrics import HINTS_PUBLISHED
from tasks import correlation
from tasks.brokers import broker_of
from tasks.celery import app as celery_app
from tasks.topology import DEAD_LETTERS, EVENTS, EVENTS_KEY, work_queue

log = structlog.get_logger(__name__)

CONFIRM_SECONDS = 3.0
NO_SUCH_QUEUE = "404"
NEVER_CONNECTED: tuple[type[BaseException], ...] = (OSError, KombuError, MessageNacked)


class Publisher:
    """Publishes with confirmation; not for use by several threads."""

    def __init__(self) -> None:
        settings = get_settings()
        broker = self._broker = broker_of(settings.broker_url, queue_type=settings.queue_type)
        self._priorities = broker.priorities
        self._options = {**broker.transport_options, **broker.publisher_options}
        self._connection: Connection | None = None
        self._producer: Any = None
        self._sent_events = SentEvents(self._options)
        self.errors: tuple[type[BaseException], ...] = NEVER_CONNECTED

    def connect(self) -> None:
        """Connect unless connected. Raises one of `errors`."""
        if self._connection is not None:
            return
        connection = celery_app.connection_for_write(transport_options=self._options)
        self.errors = (*NEVER_CONNECTED, *connection.connection_errors, *connection.channel_errors)
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=celery_app.conf.broker_connection_timeout)
        self._connection = connection
        self._producer = celery_app.amqp.Producer(connection, auto_declare=False)

    def publish(self, hint: Hint) -> None:
        """Publish and wait for the broker's confirmation. Raises one of `errors`; the connection is dropped then."""
        with tracing.spans(tracing.DISPATCH, hint.traces, type=hint.type, queue=hint.queue, tasks=len(hint.ids)):
            self._send_hint(hint)

    def _send_hint(self, hint: Hint) -> None:
        ids = [str(id_) for id_ in hint.ids]
        queue: Any = self._queue(hint.queue)  # kombu takes a declared queue; the stubs know names only
        try:
            self.connect()
            celery_app.send_task(
                hint.type,
                args=ids,
                argsrepr=_shown(ids),
                kwargsrepr="{}",
                task_id=ids[0] if len(ids) == 1 else str(uuid4()),
                queue=queue,
                priority=self._priorities[hint.priority],
                time_limit=hint.time_limit,
                headers={**self._signed(hint), **_traced(hint)} or None,
                producer=self._producer,
                event_dispatcher=self._sent_events,
                retry=False,
                timeout=CONFIRM_SECONDS,
                confirm_timeout=CONFIRM_SECONDS,
                ignore_result=True,
                add_to_parent=False,
            )
        except self.errors:
            self.close()
            raise

    def _queue(self, name: str) -> Queue:
        # Tasks keep the queue they were submitted with; their type may have moved to another one since.
        declared = celery_app.amqp.queues
        return declared[name] if name in declared else work_queue(name, self._broker.queue_arguments)

    def _signed(self, hint: Hint) -> dict[str, str]:
        settings = get_settings()
        if not settings.sign_hints:
            return {}
        return {HEADER: signature(hint.type, hint.ids, key=settings.secret_key)}

    def publish_dead_letter(self, dead: DeadLetter) -> None:
        """Publish to the dead-letter exchange, where the broker has a bounded queue for it. Raises one of `errors`."""
        if not self._broker.dead_letters:
            return
        headers = {"x-reason": dead.reason}
        self._send(
            msgspec.json.encode(dead.body()), DEAD_LETTERS.exchange, DEAD_LETTERS.routing_key, [DEAD_LETTERS], headers
        )

    def announce(self, events: Slice) -> None:
        """Publish events to whoever is bound to their exchange, and wait for the confirmation. Raises as `publish`."""
        self._send(events.body(), EVENTS, EVENTS_KEY, [EVENTS], {})

    def notify(self, queue: Queue, body: dict[str, Any]) -> None:
        """Publish a notification to a queue of ours. Raises as `publish`."""
        self._send(msgspec.json.encode(body), queue.exchange, queue.routing_key, [queue], {})

    def _send(
        self, body: bytes, exchange: Exchange, routing_key: str, declare: list[Any], headers: dict[str, Any]
    ) -> None:
        try:
            self.connect()
            self._producer.publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                declare=declare,
                headers=headers,
                content_type="application/json",
                content_encoding="utf-8",
                retry=False,
                timeout=CONFIRM_SECONDS,
                confirm_timeout=CONFIRM_SECONDS,
            )
        except self.errors:
            self.close()
            raise

    def ready_count(self, queue: str) -> int:
        """How many hints wait in a queue, not counting those a worker has; 0 where the queue does not exist.

        Raises one of `errors`.
        """
        try:
            self.connect()
            channel = self._producer.channel
            return int(channel.queue_declare(queue, passive=True).message_count)
        except self.errors as error:
            self.close()  # RabbitMQ closed the channel with its answer
            if NO_SUCH_QUEUE in (
                str(getattr(error, "reply_code", "")),
                str(getattr(error, "code", "")),
            ):  # for Redis, an empty queue is no queue
                return 0
            raise

    def close(self) -> None:
        """Drop the connection without waiting for the broker's good-bye."""
        self._sent_events.close()
        connection, self._connection, self._producer = self._connection, None, None
        if connection is None:
            return
        try:
            connection.collect()
        except self.errors as error:
            log.debug("publisher_close_failed", error=repr(error))


def _shown(ids: list[str]) -> str:
    """The arguments as Flower and the worker's log show them; Celery would write out each of many."""
    return f"('{ids[0]}',)" if len(ids) == 1 else f"({len(ids)} tasks from '{ids[0]}' to '{ids[-1]}')"


def _traced(hint: Hint) -> dict[str, str]:
    """The trace context of a hint of one task: that of the span in which it is published, if there is one."""
    if len(hint.ids) != 1 or not hint.traces:
        return {}
    current = correlation.traceparent()
    is_below = current is not None and correlation.is_same_trace(current, hint.traces[0])
    return {correlation.TRACE_HEADER: current if current is not None and is_below else hint.traces[0]}


@dataclass(frozen=True, kw_only=True)
class Published:
    """What became of several hints."""

    confirmed: int = 0
    unsent: tuple[Hint, ...] = ()
    error: BaseException | None = None
    """One of the publisher's `errors`: the broker is away, or refuses a queue."""


def publish_each(publisher: Publisher, hints: Iterable[Hint]) -> Published:
    """Publish hints one after the other; one that fails for a reason of its own does not stop those behind it."""
    waiting = list(hints)
    refused: set[str] = set()
    unsent: list[Hint] = []
    fault: BaseException | None = None
    for position, hint in enumerate(waiting):
        if hint.queue in refused:
            unsent.append(hint)
            continue
        try:
            publisher.publish(hint)
        except ChannelError as error:  # that queue exists with other arguments, for one; it says nothing of the others
            refused.add(hint.queue)
            unsent.append(hint)
            fault = error
        except publisher.errors as error:
            unsent += waiting[position:]
            fault = error
            break
        except Exception:  # a hint that cannot be sent at all must hold up nobody: its row is tried again later
            log.exception("hint_not_sendable", type=hint.type, queue=hint.queue, ids=[str(id_) for id_ in hint.ids])
            unsent.append(hint)
    if len(waiting) > len(unsent):
        HINTS_PUBLISHED.labels("confirmed").inc(len(waiting) - len(unsent))
    if unsent:
        HINTS_PUBLISHED.labels("failed").inc(len(unsent))
    return Published(confirmed=len(waiting) - len(unsent), unsent=tuple(unsent), error=fault)
