"""What a Celery worker can do and this one cannot: found at the start, and said with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.app.base import Celery

POOLS = ("prefork", "processes", "threads", "solo")
OWN_REQUEST, OWN_STRATEGY = "celery.worker.request:Request", "celery.worker.strategy:default"
ONCE = ("celery_singleton", "celery_once")
BATCHES = "celery_batches"


class RefusedApplication(Exception):
    """The application uses what this worker does not have; the text names each place, and what to write."""


def check(app: Celery, *, pool: str) -> None:
    """Raises RefusedApplication."""
    found = [*_of_pool(pool), *of_steps(app), *(fault for task in app.tasks.values() for fault in of_task(task))]
    if found:
        raise RefusedApplication("\n".join(found))


def _of_pool(pool: str) -> Iterator[str]:
    if pool in ("gevent", "eventlet"):
        yield f"--pool {pool}: the tracer and the limits need real threads; give --pool threads with a --concurrency"
    elif pool not in POOLS:
        yield f"--pool {pool}: a pool of your own is not known here; give one of prefork, threads, solo"


def of_steps(app: Celery) -> Iterator[str]:
    """What is refused of its bootsteps, for `tledger adopt check`, too."""
    for place in ("worker", "consumer"):
        for step in sorted(map(_name_of, app.steps[place])):
            yield (
                f"app.steps[{place!r}] has {step}: there is no blueprint that it could be a part of; connect to the "
                "signals worker_init, worker_ready and worker_shutdown, or run it in a process of its own"
            )


def of_task(task: Any) -> Iterator[str]:
    """What is refused of one task, for `tledger adopt check`, too."""
    kinds = {base.__module__.partition(".")[0] for base in type(task).__mro__}
    if BATCHES in kinds:
        yield f"{task.name}: celery-batches collects calls in one process; submit a list as one task instead"
        return
    for kind in ONCE:
        if kind in kinds:
            yield (
                f"{task.name}: {kind.replace('_', '-')} keeps its locks in Redis and does not see the ledger; give "
                "the type `unique`, or call with the same task_id"
            )
    if _path_of(task.Request) != OWN_REQUEST:
        yield f"{task.name}: a Request of its own ({_path_of(task.Request)}) meets no messages here; use the signals"
    if _path_of(task.Strategy) != OWN_STRATEGY:
        yield f"{task.name}: a Strategy of its own ({_path_of(task.Strategy)}) meets no messages here; use the signals"


def _path_of(said: Any) -> str:
    return said if isinstance(said, str) else f"{said.__module__}:{said.__qualname__}"


def _name_of(step: Any) -> str:
    return step if isinstance(step, str) else getattr(step, "__qualname__", repr(step))
