"""Bare Celery, as its guide on optimizing says: prefetch, no results unless asked for, long-lived connections."""

import os

from celery import Celery
from counting import ran

app = Celery("celery_tasks", broker=os.environ["BENCH_BROKER"], backend=os.environ.get("BENCH_BACKEND"))
app.conf.update(
    task_ignore_result="BENCH_BACKEND" not in os.environ,
    worker_prefetch_multiplier=16,
    broker_transport_options={"confirm_publish": "BENCH_CONFIRM" in os.environ},
    broker_pool_limit=16,
    worker_hijack_root_logger=False,
    task_acks_late=True,  # as ours: a task that was running when its worker died is run again
)


@app.task
def noop(text: str, began: str = "") -> str:
    """What is measured: nothing."""
    ran(began)
    return text


if __name__ == "__main__":
    from producing import produce

    produce(lambda began: noop.delay("hello world", began), threads=int(os.environ.get("BENCH_THREADS", "1")))
