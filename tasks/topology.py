"""Exchanges and queues, declared in one place."""

from collections.abc import Mapping
from typing import Any

from kombu import Exchange, Queue

from tasks.brokers import DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE

TASKS = Exchange("tasks", type="direct", durable=True)

# A view for people, never a store: bounded, oldest first out.
DEAD_LETTERS = Queue(
    DEAD_LETTER_QUEUE,
    Exchange(DEAD_LETTER_EXCHANGE, type="direct", durable=True),
    routing_key=DEAD_LETTER_KEY,
    durable=True,
    queue_arguments={"x-max-length": 10_000, "x-message-ttl": 7 * 24 * 3600 * 1000},
)


def work_queue(name: str, arguments: Mapping[str, Any]) -> Queue:
    """A queue of hints. Everybody declares it with the same arguments, or the broker refuses."""
    return Queue(name, TASKS, routing_key=name, durable=True, queue_arguments=dict(arguments))


# What happened, for everybody who wants to know: a queue of one's own, bound with any pattern, receives its own copy.
EVENTS = Exchange("task.events", type="topic", durable=True)
EVENTS_KEY = "events"


def sink_queue(name: str) -> Queue:
    """The queue of one sink. It is bounded: what was pushed out of it the sink reads from the ledger."""
    return Queue(f"task.events.{name}", EVENTS, routing_key="#", durable=True, queue_arguments={"x-max-length": 10_000})
