"""Exchanges and queues beside the work queues, declared in one place."""

from kombu import Exchange, Queue

from tasks.brokers import DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE

# A view for people, never a store: bounded, oldest first out.
DEAD_LETTERS = Queue(
    DEAD_LETTER_QUEUE,
    Exchange(DEAD_LETTER_EXCHANGE, type="direct", durable=True),
    routing_key=DEAD_LETTER_KEY,
    durable=True,
    queue_arguments={"x-max-length": 10_000, "x-message-ttl": 7 * 24 * 3600 * 1000},
)
