"""The consumers of a worker's queues: they take as many hints as they have credit for, and none without any."""

from collections.abc import Iterator
from typing import Any

from kombu import Consumer, Queue


class HintConsumer(Consumer):
    """Consumes from each of its queues while it has credit.

    A queue is consumed when it is one of `queues` (a pause, or an operator, takes it away) and there is credit. Where a
    prefetch count is of each consumer, it does not reach one that is at work (RabbitMQ's quorum queues, and all of
    RabbitMQ 4): more credit is then a further consumer of each queue, and less is new consumers in place of all.
    """

    channel: Any  # its stubs leave out that it is one by now, and what is private
    _active_tags: dict[str, str]
    _tags: Iterator[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.credit: int | None = None
        """How many hints it may hold; None: whatever was set elsewhere."""
        self.by_consumer = False
        """Whether a prefetch count is of each consumer, and not of the channel."""
        self._further: dict[str, list[str]] = {}
        super().__init__(*args, **kwargs)

    @property
    def tags(self) -> set[str]:
        """The consumers that are at work, as deliveries name them."""
        return {*self._active_tags.values(), *(tag for tags in self._further.values() for tag in tags)}

    def consume(self, no_ack: bool | None = None) -> None:
        """Begin with those queues that are not consumed yet, if there is credit."""
        if self.credit is None:
            super().consume(no_ack)
        elif self.credit:
            self._limit(self.credit)
            super().consume(no_ack)

    def begin_anew(self, credit: int) -> None:
        """Consume with this credit from now on, once cancel() has ended all consumers."""
        self.credit = credit
        self.consume()

    def give_more(self, credit: int) -> None:
        """Raise the credit to this much."""
        before, self.credit = self.credit or 0, credit
        if not before or not self.by_consumer:
            self.consume()
            return
        self._limit(credit - before)
        for queue in self.queues:
            self._consume_further(queue)

    def cancel(self) -> None:
        """End all consumers."""
        super().cancel()
        for name in list(self._further):
            self._cancel_further(name)

    close = cancel

    def cancel_by_queue(self, queue: Queue | str) -> None:
        """End the consumers of this queue, and let it be no queue of ours."""
        super().cancel_by_queue(queue)
        self._cancel_further(queue if isinstance(queue, str) else queue.name)

    def _limit(self, count: int) -> None:
        self.qos(prefetch_count=count, apply_global=not self.by_consumer)

    def _consume_further(self, queue: Queue) -> None:
        tag = f"{self.tag_prefix}{next(self._tags)}"
        self._further.setdefault(queue.name, []).append(tag)
        receive: Any = self._receive_callback
        queue.consume(tag, receive, no_ack=queue.no_ack, nowait=False)

    def _cancel_further(self, name: str) -> None:
        for tag in self._further.pop(name, []):
            self.channel.basic_cancel(tag)
