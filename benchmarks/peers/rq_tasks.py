"""RQ: jobs and results in Redis."""

import os

from counting import ran


def noop(text: str, began: str = "") -> str:
    """What is measured: nothing."""
    ran(began)
    return text


if __name__ == "__main__":
    from producing import produce
    from redis import Redis
    from rq import Queue

    queue = Queue("default", connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    produce(
        lambda began: queue.enqueue("rq_tasks.noop", "hello world", began),
        many=lambda n: queue.enqueue_many([Queue.prepare_data("rq_tasks.noop", ("hello world",)) for _ in range(n)]),
    )
