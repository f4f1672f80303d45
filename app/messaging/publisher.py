"""One connection for publishing hints, on which nothing waits longer than a few seconds."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from amqp.exceptions import ChannelError, MessageNacked
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from app.config import get_settings
from app.messaging.confirmations import UNCONFIRMED, Confirmations, Immediate, SentEvents
from app.messaging.line import line
from app.messaging.messages import DeadLetter, Hint, Slice, shown
from app.messaging.signing import HEADER, signature
from app.observability import tracing
from app.observability.metrics import HINTS_PUBLISHED
from tasks import correlation
from tasks.celery import app as celery_app
from tasks.topology import DEAD_LETTERS, EVENTS, EVENTS_KEY, work_queue

log = structlog.get_logger(__name__)

CONFIRM_SECONDS = 3.0
AT_ONCE = 100  # messages that are under way to the broker
NO_SUCH_QUEUE = "404"
NEVER_CONNECTED: tuple[type[BaseException], ...] = (OSError, KombuError, MessageNacked)


class Publisher:
    """Publishes with confirmation; not for use by several threads."""

    def __init__(self) -> None:
        settings = get_settings()
        broker = self._broker = settings.broker
        self._priorities = broker.priorities
        self._options = {**broker.transport_options, **broker.publisher_options}
        self._can_confirm = "confirm_publish" in self._options
        self._confirmations: Confirmations | Immediate = Immediate()
        self._connection: Connection | None = None
        self._producer: Any = None
        self._sent_events = SentEvents(self._options)
        self.errors: tuple[type[BaseException], ...] = NEVER_CONNECTED

    def connect(self) -> None:
        """Connect unless connected. Raises one of `errors`."""
        if self._connection is not None:
            return
        options = self._options | UNCONFIRMED if self._can_confirm else self._options  # the wait is ours
        connection = celery_app.connection_for_write(transport_options=options)
        self.errors = (*NEVER_CONNECTED, *connection.connection_errors, *connection.channel_errors)
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=celery_app.conf.broker_connection_timeout)
        self._connection = connection
        self._producer = celery_app.amqp.Producer(connection, auto_declare=False)
        try:
            self._confirmations = Confirmations(self._producer.channel) if self._can_confirm else Immediate()
        except self.errors:
            self.close()
            raise

    def publish(self, hint: Hint) -> None:
        """Publish and wait for the broker's confirmation. Raises one of `errors`; the connection is dropped then."""
        with self._connected():
            self._send_hint(hint)
            self._confirmations.wait(CONFIRM_SECONDS)

    def publish_together(self, hints: Sequence[Hint]) -> tuple[list[Hint], BaseException | None]:
        """Publish hints, many under way at once; returns those that the broker has not confirmed, and why it has not.

        After one of `errors` the connection is dropped. Another one says that a hint cannot be sent: it, and those
        behind it, are returned.
        """
        sent: list[tuple[int, Hint]] = []
        fault: BaseException | None = None
        try:
            with self._connected():
                fault = self._send_while_possible(hints, sent)
                self._confirmations.wait(CONFIRM_SECONDS)
        except self.errors as error:
            fault = error
        left = [hint for number, hint in sent if self._confirmations.is_missing(number)]
        return [*left, *hints[len(sent) :]], fault

    def _send_while_possible(self, hints: Sequence[Hint], sent: list[tuple[int, Hint]]) -> Exception | None:
        """Send hints, and note each; returns why one cannot be sent. Raises one of `errors`."""
        for hint in hints:
            if sent and len(sent) % AT_ONCE == 0:
                self._confirmations.wait(CONFIRM_SECONDS)
            try:
                number = self._send_hint(hint)
            except self.errors:
                raise
            except Exception as error:  # noqa: BLE001 (it is returned; those that are under way are waited for)
                return error
            sent.append((number, hint))
        return None

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """A connection, which is dropped when one of `errors` is raised."""
        try:
            self.connect()
            yield
        except self.errors:
            self.close()
            raise

    def _send_hint(self, hint: Hint) -> int:
        """Send a hint; returns the number of its message."""
        ids = msgspec.to_builtins(list(hint.ids))  # in a ninth of the time that str takes for each
        queue: Any = self._queue(hint.queue)  # kombu takes a declared queue; the stubs know names only
        with tracing.spans(tracing.DISPATCH, hint.traces, type=hint.type, queue=hint.queue, tasks=len(hint.ids)):
            celery_app.send_task(
                hint.type,
                args=ids,
                argsrepr=shown(ids),
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
                ignore_result=True,
                add_to_parent=False,
            )
        return self._confirmations.next_number()

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
        with self._connected():
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
            )
            self._confirmations.next_number()
            self._confirmations.wait(CONFIRM_SECONDS)

    def ready_count(self, queue: str) -> int:
        """How many hints wait in a queue, not counting those a worker has; 0 where the queue does not exist.

        Raises one of `errors`; for a queue that is not the broker's, whatever its place raises.
        """
        if line().takes(queue):
            return line().ready_count(queue)
        try:
            self.connect()
            channel = self._producer.channel
            return int(channel.queue_declare(queue, passive=True).message_count)
        except self.errors as error:
            self.close()  # RabbitMQ closed the channel with its answer
            codes = (str(getattr(error, name, "")) for name in ("reply_code", "code"))
            if NO_SUCH_QUEUE in codes:  # for Redis, an empty queue is no queue
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


def _traced(hint: Hint) -> dict[str, str | None]:
    """A hint of one task says in which span it was published."""
    is_single = len(hint.ids) == 1 and hint.traces
    return {correlation.TRACE_HEADER: correlation.below(hint.traces[0])} if is_single else {}


@dataclass(frozen=True, kw_only=True)
class Published:
    """What became of several hints."""

    confirmed: int = 0
    """How many the broker confirmed; one that a line keeps says nothing of the broker."""
    unsent: tuple[Hint, ...] = ()
    error: BaseException | None = None
    """One of the publisher's `errors`, when the broker is away or refuses a queue; or what a line raised."""


def publish_each(publisher: Publisher, hints: Iterable[Hint]) -> Published:
    """Publish hints; one that fails for a reason of its own does not stop the others.

    Those that are not for the broker go first, all at once: a broker that is away does not concern them.
    """
    given = list(hints)
    kept = [hint for hint in given if line().takes(hint.queue)]
    waiting = [hint for hint in given if not line().takes(hint.queue)] if kept else given
    not_kept = _keep(kept)
    unsent, fault = _publish(publisher, waiting)
    confirmed = len(waiting) - len(unsent)
    unsent += kept if not_kept is not None else []
    if len(given) > len(unsent):
        HINTS_PUBLISHED.labels("confirmed").inc(len(given) - len(unsent))
    if unsent:
        HINTS_PUBLISHED.labels("failed").inc(len(unsent))
    return Published(confirmed=confirmed, unsent=tuple(unsent), error=fault or not_kept)


def _publish(publisher: Publisher, hints: list[Hint]) -> tuple[list[Hint], BaseException | None]:
    """Publish together, and one by one what is left where only one of them was at fault; returns what is not sent."""
    if len(hints) < 2:
        return _publish_one_by_one(publisher, hints)
    left, fault = publisher.publish_together(hints)
    if fault is None or _concerns_all(publisher, fault):
        return left, fault
    return _publish_one_by_one(publisher, left)


def _concerns_all(publisher: Publisher, fault: BaseException) -> bool:
    return isinstance(fault, publisher.errors) and not isinstance(fault, ChannelError)


def _publish_one_by_one(publisher: Publisher, hints: list[Hint]) -> tuple[list[Hint], BaseException | None]:
    refused: set[str] = set()
    fault: BaseException | None = None
    unsent: list[Hint] = []
    for position, hint in enumerate(hints):
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
            unsent += hints[position:]
            fault = error
            break
        except Exception:  # a hint that cannot be sent at all must hold up nobody: its row is tried again later
            log.exception("hint_not_sendable", type=hint.type, queue=hint.queue, ids=[str(id_) for id_ in hint.ids])
            unsent.append(hint)
    return unsent, fault


def _keep(hints: list[Hint]) -> BaseException | None:
    """Hand hints to the line that keeps them; returns what it raised."""
    if not hints:
        return None
    try:
        line().publish(hints)
    except Exception as error:  # noqa: BLE001 (it is not known here what keeps them; their rows are tried again later)
        log.warning("hints_not_kept", count=len(hints), error=f"{type(error).__name__}: {error}")
        return error
    return None
