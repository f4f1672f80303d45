"""Exchanges and queues, declared in one place; `python -m tasks.topology` prints them for RabbitMQ's operators."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from kombu import Exchange, Queue

from taskledger_sdk import packages
from taskledger_sdk.packages import EXIT_STATUS, BrokenFiles
from taskledger_sdk.registry import load_types
from tasks import BUILT_IN, task_packages
from tasks.brokers import DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE, RABBITMQ, RABBITMQ_QUORUM

TASKS = Exchange("tasks", type="direct", durable=True)
DEFAULT_QUEUE = "tasks"

# A view for people, never a store: bounded, oldest first out.
DEAD_LETTERS = Queue(
    DEAD_LETTER_QUEUE,
    Exchange(DEAD_LETTER_EXCHANGE, type="direct", durable=True),
    routing_key=DEAD_LETTER_KEY,
    durable=True,
    queue_arguments={"x-max-length": 10_000, "x-message-ttl": 7 * 24 * 3600 * 1000},
)
POLICY = {
    "name": "taskledger-dead-letters",
    "pattern": r"^tasks\.dead$",
    "apply-to": "queues",
    "definition": {"max-length-bytes": 100_000_000, "overflow": "drop-head"},
    "priority": 1,
}
"""What may change without another declaration: the queue's own arguments cannot."""


def work_queue(name: str, arguments: Mapping[str, Any]) -> Queue:
    """A queue of hints. Everybody declares it with the same arguments, or the broker refuses."""
    return Queue(name, TASKS, routing_key=name, durable=True, queue_arguments=dict(arguments))


# What happened, for everybody who wants to know: a queue of one's own, bound with any pattern, receives its own copy.
EVENTS = Exchange("task.events", type="topic", durable=True)
EVENTS_KEY = "events"


def sink_queue(name: str) -> Queue:
    """The queue of one sink. It is bounded: what was pushed out of it the sink reads from the ledger."""
    return Queue(f"task.events.{name}", EVENTS, routing_key="#", durable=True, queue_arguments={"x-max-length": 10_000})


# A word from each sink after each batch, for whoever wants to refresh something; bounded, oldest first out.
UPDATES = Queue(
    "task.updates",
    Exchange("task.updates", type="direct", durable=True),
    routing_key="updates",
    durable=True,
    queue_arguments={"x-max-length": 1_000, "x-message-ttl": 3600 * 1000},
)


def queue_names() -> list[str]:
    """The default queue and those that types name."""
    return sorted({DEFAULT_QUEUE} | {task_type.queue for task_type in load_types().values()})


def definitions(*, vhost: str, queue_type: str, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """All of it as `rabbitmqctl import_definitions` takes it, from RabbitMQ 3.10 on.

    Not needed: what is missing is declared when it is first used. For installations whose programs may not declare.
    """
    arguments = (RABBITMQ_QUORUM if queue_type == "quorum" else RABBITMQ).queue_arguments
    queues = [*(work_queue(name, arguments) for name in names), DEAD_LETTERS]
    return {
        "exchanges": [
            _described(queue.exchange, vhost, type="direct", internal=False) for queue in (queues[0], queues[-1])
        ],
        "queues": [_described(queue, vhost, arguments=dict(queue.queue_arguments or {})) for queue in queues],
        "bindings": [
            {
                "source": queue.exchange.name,
                "vhost": vhost,
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": queue.routing_key,
                "arguments": {},
            }
            for queue in queues
        ],
        "policies": [{"vhost": vhost, **POLICY}],
    }


def _described(entity: Exchange | Queue, vhost: str, **more: Any) -> dict[str, Any]:
    return {"name": entity.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": {}, **more}


def main(arguments: list[str]) -> None:
    """`python -m tasks.topology [classic | quorum [VHOST]]`."""
    queue_type, vhost = (*arguments, *("classic", "/")[len(arguments) :])
    theirs = task_packages.named(os.environ.get("TASK_PACKAGES", ""))
    packages.use(*BUILT_IN, *theirs)
    try:
        names = queue_names()
    except BrokenFiles as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(EXIT_STATUS)
    sys.stdout.write(json.dumps(definitions(vhost=vhost, queue_type=queue_type, names=names), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
