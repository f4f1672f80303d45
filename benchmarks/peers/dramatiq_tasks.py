"""Dramatiq on RabbitMQ: durable queues; no results, as it recommends for throughput."""

import os

import dramatiq
from counting import ran
from dramatiq.brokers.rabbitmq import RabbitmqBroker

broker = RabbitmqBroker(url=os.environ["BENCH_BROKER"], confirm_delivery="BENCH_CONFIRM" in os.environ)
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(text: str, began: str = "") -> str:
    """What is measured: nothing."""
    ran(began)
    return text


if __name__ == "__main__":
    from producing import produce

    produce(lambda began: noop.send("hello world", began))
