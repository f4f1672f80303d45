"""How many hints a worker is given, and until when it holds them: no more than it has children free, and not too long.

A hint is acknowledged once its tasks have ended. RabbitMQ closes the channel of a worker that holds one for too long,
so one that has been held for a third of that is acknowledged although its tasks go on. Its child stays taken: the
worker takes one hint less until then, and with no child free it consumes from no queue. In the same way it counts
children that work on hints of a connection that was lost. All of it happens in the parent's event loop.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from celery import bootsteps
from celery.bootsteps import RUN  # type: ignore[attr-defined]  # its stubs leave it out
from celery.worker import state

from app.config import get_settings
from app.worker.hint_consumer import HintConsumer

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
WAITING_SECONDS = 2.0  # a hint that has waited so long for a child goes back to the broker


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The children of a worker: how many there are, how many could take a hint, and how many work on for long."""

    slots: int = 0
    free: int = 0
    acknowledged_early: int = 0
    """Hints whose tasks go on although they were acknowledged."""


def reserved() -> list[Any]:
    """The hints that this worker has and that have not ended."""
    while True:
        try:
            return list(state.reserved_requests)
        except RuntimeError:  # changed while it was read
            continue


class Consumption(bootsteps.StartStopStep):
    """Keeps the consumers of the tasks' queues in step with the children that are free."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        consumer.consumption = self
        self._broker = get_settings().broker
        self._is_open = False
        self._consumer: HintConsumer | None = None
        self.places = Places()
        """As they were at the last look; read by the thread that tells of this worker."""
        super().__init__(consumer, **kwargs)

    def start(self, consumer: Any) -> None:
        """A connection has come about; nothing is consumed yet."""
        tasks = self._consumer = consumer.task_consumer
        # Transports other than AMQP's count by channel, whatever they are told.
        tasks.by_consumer = self._broker.prefetch_by_consumer and not consumer.qos_global
        if self._is_limited(consumer):
            tasks.credit = max(0, self._free(consumer)) * consumer.prefetch_multiplier
        self._is_open = True
        self._note_places(consumer)

    def stop(self, consumer: Any) -> None:
        """The connection is lost, or the worker ends."""
        self._is_open, self._consumer = False, None

    @property
    def leaves_prefetch_to_celery(self) -> bool:
        """Whether Celery counts the children by itself."""
        return self._broker.counts_reserved

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Look again and again while this connection lives."""
        hub.call_repeatedly(LOOK_SECONDS, self.look, consumer)

    def first_prefetch(self, consumer: Any) -> int:
        """The prefetch count of a new connection, before it is known which queues it consumes. 0 is no limit."""
        if not self._is_limited(consumer):
            return int(consumer.initial_prefetch_count)
        return max(1, slots(consumer) - len(reserved())) * int(consumer.prefetch_multiplier)

    def look(self, consumer: Any) -> None:
        """Acknowledge what is held for too long, and take as many hints as there are children free."""
        if not self._is_open or consumer.blueprint.state != RUN:
            return
        try:
            self._look(consumer)
        except consumer.channel_errors as error:
            # The event loop would log it, and go on with a channel that is closed: nothing would be consumed again.
            raise ConnectionError(f"the channel is gone: {error}") from error

    def _look(self, consumer: Any) -> None:
        overdue = self._overdue()
        if self._is_limited(consumer):
            self._fit(consumer, len(overdue))
        for request in overdue:
            _settle_early(request)
        self._note_places(consumer)

    def _note_places(self, consumer: Any) -> None:
        held = reserved()
        self.places = Places(
            slots=slots(consumer),
            free=max(0, slots(consumer) - len(held)),
            acknowledged_early=sum(request.acknowledged for request in held),
        )

    def _fit(self, consumer: Any, overdue: int) -> None:
        """Give the consumers as much credit as is right once the overdue hints are acknowledged."""
        tasks = consumer.task_consumer
        credit = max(0, self._free(consumer) - overdue) * consumer.prefetch_multiplier
        if credit < tasks.credit:
            tasks.cancel()  # and only then is it known what has come meanwhile
            credit = max(0, self._free(consumer) - (0 if tasks.by_consumer else overdue)) * consumer.prefetch_multiplier
            tasks.begin_anew(credit)
        elif credit > tasks.credit:
            tasks.give_more(credit)
        else:
            return
        # Celery sets the count anew whenever its own note of it changes.
        consumer.qos.value = consumer.qos.prev = max(1, credit)
        log.info("places_changed", free=credit, slots=slots(consumer), held=len(reserved()), overdue=overdue)

    def _free(self, consumer: Any) -> int:
        """Children without a hint, or whose hint counts against the credit of a consumer that is at work."""
        return slots(consumer) - sum(map(self._is_detached, reserved()))

    def _is_detached(self, request: Any) -> bool:
        """Whether a hint takes a child, and none of the credit."""
        tasks, message = self._consumer, request.message
        if request.acknowledged or tasks is None or message.channel is not tasks.channel:
            return True
        return tasks.by_consumer and message.delivery_info.get("consumer_tag") not in tasks.tags

    def _is_limited(self, consumer: Any) -> bool:
        return bool(consumer.prefetch_multiplier) and not self._broker.counts_reserved

    def _overdue(self) -> list[Any]:
        return list(self._each_overdue())

    def _each_overdue(self) -> Iterator[Any]:
        early_seconds, tasks = self._broker.early_seconds, self._consumer
        if early_seconds is None or tasks is None:
            return
        # Where counts are of consumers, each of several queues may bring as many hints as there are children.
        waiting_seconds = WAITING_SECONDS if tasks.by_consumer else early_seconds
        now = time.monotonic()
        for request in reserved():
            most = early_seconds if request.worker_pid is not None else min(waiting_seconds, early_seconds)
            is_ours = request.message.channel is tasks.channel
            if is_ours and not request.acknowledged and now - request.received_at >= most:
                yield request


def slots(consumer: Any) -> int:
    """How many children the worker may have; with --autoscale the most, or it would never grow."""
    scaler = getattr(consumer.controller, "autoscaler", None)
    return int(scaler.max_concurrency if scaler is not None else consumer.pool.num_processes)


def _settle_early(request: Any) -> None:
    if request.worker_pid is None:
        # It still waits for a child: another worker may have one free. Our copy will find its tasks taken.
        request.reject(requeue=True)
        return
    log.info("hint_acknowledged_early", ids=list(request.args), held_seconds=round(request.held_seconds, 1))
    request.acknowledge()
