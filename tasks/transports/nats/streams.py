"""Durable queues: each is a stream with work-queue retention, with a pull consumer for each of its priorities."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nats.js.errors

from tasks.transports.nats.client import Client
from tasks.transports.nats.names import encode

SECOND = 1_000_000_000
"""In nanoseconds, as JetStream's API counts."""
DEDUPLICATION_SECONDS = 120
MAX_LEVELS = 11
"""Of priorities that are kept apart: each costs a consumer, and a pull while nothing waits."""
MAX_WAITING_PULLS = 4096
DEAD_LETTER_ARGUMENTS = {"x-max-length": 10_000, "x-message-ttl": 7 * 24 * 3600 * 1000}


def levels_of(arguments: Mapping[str, Any]) -> int:
    """How many priorities a queue with these arguments keeps apart."""
    return min(int(arguments.get("x-max-priority") or 0) + 1, MAX_LEVELS)


@dataclass(frozen=True)
class WorkQueue:
    """A durable queue and the names of its parts."""

    name: str
    namespace: str
    arguments: Mapping[str, Any]

    @property
    def levels(self) -> int:
        """How many priorities it keeps apart: 0 up to its x-max-priority."""
        return levels_of(self.arguments)

    @property
    def stream(self) -> str:
        """The name of the queue's stream."""
        return f"{encode(self.namespace)}-queue-{encode(self.name)}"

    @property
    def subjects(self) -> str:
        """The subjects that its stream takes, one for each priority."""
        return f"{encode(self.namespace)}.queue.{encode(self.name)}.*"

    def subject(self, priority: int) -> str:
        """Where a message of this priority is published to."""
        return f"{self.subjects[:-1]}{max(0, min(priority, self.levels - 1))}"

    @staticmethod
    def consumer(level: int) -> str:
        """The name of the consumer of one priority."""
        return f"priority-{level}"

    @property
    def consumers(self) -> list[str]:
        """The names of the consumers, one for each priority."""
        return [self.consumer(level) for level in range(self.levels)]


class Streams:
    """Declares, counts and empties the queues of one namespace; remembers which ones it has seen."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, WorkQueue] = {}

    async def declare(self, name: str, arguments: Mapping[str, Any]) -> WorkQueue:
        """The queue with these arguments; one that exists with others is changed. Raises QueueRefused."""
        queue = WorkQueue(name, self._client.address.namespace, dict(arguments))
        wanted = self._description(queue)
        try:
            info = await self._client.ask(f"STREAM.INFO.{queue.stream}")
            is_there = True
        except nats.js.errors.NotFoundError:
            is_there = False
        if not is_there:
            await self._client.ask(f"STREAM.CREATE.{queue.stream}", **self._configuration(queue))
        elif info["config"].get("description") != wanted:
            await self._client.ask(
                f"STREAM.UPDATE.{queue.stream}", **{**info["config"], **self._limits(queue), "description": wanted}
            )
        elif len(await self.consumers(queue)) == queue.levels:
            self._known[name] = queue
            return queue
        for level in range(queue.levels):
            await self._make_consumer(queue, level)
        self._known[name] = queue
        return queue

    async def consumers(self, queue: WorkQueue) -> dict[str, str]:
        """Its consumers that are there, and when each was made. Raises NatsUnavailable."""
        try:
            answer = await self._client.ask(f"CONSUMER.LIST.{queue.stream}", offset=0)
        except nats.js.errors.NotFoundError:
            return {}
        made = {str(each["name"]): str(each["created"]) for each in answer.get("consumers") or ()}
        return {name: made[name] for name in queue.consumers if name in made}

    async def find(self, name: str, *, afresh: bool = False) -> WorkQueue | None:
        """The queue of this name, if there is one; `afresh` asks the server even if it is known."""
        if afresh or name not in self._known:
            unknown = WorkQueue(name, self._client.address.namespace, {})
            try:
                info = await self._client.ask(f"STREAM.INFO.{unknown.stream}")
            except nats.js.errors.NotFoundError:
                self._known.pop(name, None)
                return None
            said = json.loads(info["config"].get("description") or "{}")
            self._known[name] = WorkQueue(name, self._client.address.namespace, said.get("arguments", {}))
        return self._known[name]

    async def put(self, queue: WorkQueue, priority: int, data: bytes, *, message_id: str) -> None:
        """Publish with confirmation; a stream that has gone meanwhile is made again. Raises NatsUnavailable."""
        subject = queue.subject(priority)
        try:
            await self._client.publish(subject, data, message_id=message_id)
        except nats.js.errors.NoStreamResponseError:
            await self.declare(queue.name, queue.arguments)
            await self._client.publish(subject, data, message_id=message_id)

    async def ready(self, queue: WorkQueue) -> int:
        """How many messages wait that nobody has been given; those that are to be given again do not count."""
        try:
            answer = await self._client.ask(f"CONSUMER.LIST.{queue.stream}", offset=0)
        except nats.js.errors.NotFoundError:
            self._known.pop(queue.name, None)
            return 0
        return sum(int(consumer["num_pending"]) for consumer in answer.get("consumers") or ())

    async def purge(self, queue: WorkQueue) -> int:
        """Throw everything away, also what receivers hold; returns how many messages waited."""
        waiting = await self.ready(queue)
        try:
            await self._client.ask(f"STREAM.PURGE.{queue.stream}")
        except nats.js.errors.NotFoundError:
            return 0
        return waiting

    async def delete(self, queue: WorkQueue) -> None:
        """Delete the stream of a queue; one that is not there is no fault."""
        self._known.pop(queue.name, None)
        try:
            await self._client.ask(f"STREAM.DELETE.{queue.stream}")
        except nats.js.errors.NotFoundError:
            return

    async def _make_consumer(self, queue: WorkQueue, level: int) -> None:
        name = queue.consumer(level)
        configuration = {
            "durable_name": name,
            "filter_subject": queue.subject(level),
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "replay_policy": "instant",
            "ack_wait": int(self._client.options.ack_wait * SECOND),
            "max_deliver": -1,  # counted where it is received: the server would leave the message in the stream
            "max_ack_pending": -1,
            "max_waiting": MAX_WAITING_PULLS,
        }
        await self._client.ask(
            f"CONSUMER.DURABLE.CREATE.{queue.stream}.{name}", stream_name=queue.stream, config=configuration
        )

    def _configuration(self, queue: WorkQueue) -> dict[str, Any]:
        return {
            "name": queue.stream,
            "subjects": [queue.subjects],
            "retention": "workqueue",
            "discard": "old",
            "storage": self._client.options.storage,
            "num_replicas": self._client.options.replicas,
            "max_consumers": -1,
            "max_msgs_per_subject": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "description": self._description(queue),
            **self._limits(queue),
        }

    def _limits(self, queue: WorkQueue) -> dict[str, Any]:
        milliseconds = int(queue.arguments.get("x-message-ttl") or 0)
        age = milliseconds * SECOND // 1000
        window = DEDUPLICATION_SECONDS * SECOND
        return {
            "max_msgs": int(queue.arguments.get("x-max-length") or -1),
            "max_age": age,
            "duplicate_window": min(window, age) if age else window,
        }

    def _description(self, queue: WorkQueue) -> str:
        """What others read the queue's arguments from; NATS 2.9 has no other place for them."""
        return json.dumps({"arguments": queue.arguments, "ack_wait": self._client.options.ack_wait}, sort_keys=True)
