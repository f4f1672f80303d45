"""The worker: every task type as a Celery task, and the signals that tie a worker's life to the ledger."""

import gc
import os
from typing import Any

from celery import Task, signals

from app import runtime
from app.config import get_settings
from app.messaging import refuse_compressed
from app.messaging.signing import HEADER
from app.observability import metrics, tracing
from app.worker import executor, heartbeat, identity, payload_keys
from app.worker.leftovers import LEFTOVERS
from app.worker.lifespans import LIFESPANS
from app.worker.liveness import LIVENESS
from app.worker.lost_children import LOST
from app.worker.remote_control import CANCELLATIONS
from app.worker.shutdown import SHUTDOWN
from taskledger_sdk.registry import load_types
from tasks import correlation
from tasks.celery import app as celery_app

COLD_SECONDS = 12.0  # children that are told to end at once record what they held


class LedgerTask(Task):  # type: ignore[type-arg]  # it is generic in its stubs only
    """A task type as Celery sees it: its name, and a run that is given ids only."""

    abstract = True
    typing = False
    throws = (executor.RecordedFailure,)  # an outcome, not a fault of the worker: no traceback in its log
    Request = "app.worker.request:LedgerRequest"

    def run(self, *ids: str) -> str:
        """Run the tasks with these ids, as far as they are this worker's to run."""
        hard_limit = (self.request.timelimit or (None, None))[0]
        try:
            parsed = executor.parse_ids(ids)
            executor.check_signature(self.name, parsed, getattr(self.request, HEADER, None))
        except executor.NoHint as error:
            raise executor.refuse(self.name, ids, self.request.id, error) from error
        header = getattr(self.request, correlation.TRACE_HEADER, None)
        trace = correlation.accepted_traceparent(header) if isinstance(header, str) else None
        with tracing.span(tracing.RUN, parent=trace, type=self.name, tasks=len(parsed)):
            return executor.run_hint(self.name, parsed, hard_limit=hard_limit)


def register_types() -> None:
    """Make each task type known to Celery under its own name."""
    for task_type in load_types().values():
        task = type(task_type.name, (LedgerTask,), {"name": task_type.name, "__doc__": task_type.summary})
        celery_app.register_task(task())


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    runtime.set_up_logging()


@signals.celeryd_init.connect
def _begin(sender: str, options: dict[str, Any], conf: Any, **_: Any) -> None:
    pool = options.get("pool") or conf.worker_pool
    kind = pool if isinstance(pool, str) else pool.__module__
    if "gevent" in kind or "eventlet" in kind:
        raise SystemExit(f"The pool {kind} cannot run these tasks: use --pool prefork (the default), solo or threads.")
    identity.begin(sender, is_solo="solo" in kind)
    refuse_compressed()
    metrics.share("worker", owner=os.getpid())
    if "prefork" not in kind:
        tracing.start("worker")


@signals.worker_init.connect
def _before_children(**_: Any) -> None:
    for task_type in load_types().values():
        task_type.understood  # noqa: B018 (the schemas, and what makes them, are loaded once and not by each child)
    payload_keys.payload_keys()  # so is what encrypts, where there are keys
    # What is loaded is never garbage. Looking at it would copy, page by page, what children share with their parent.
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def _child_begins(**_: Any) -> None:
    LEFTOVERS.begin()
    tracing.start("worker")


@signals.worker_process_shutdown.connect
def _child_ends(**_: Any) -> None:
    LIFESPANS.end()
    tracing.flush()


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    LOST.start()
    CANCELLATIONS.start()
    runtime.serve_metrics(get_settings().worker_metrics_port)
    LIVENESS.start(sender)


@signals.worker_shutting_down.connect
def _shutting_down(how: str, **_: Any) -> None:
    heartbeat.PARENT_STOP.announce()
    if how == "Warm":
        SHUTDOWN.begin(get_settings().shutdown_grace_seconds)
    else:
        SHUTDOWN.end_within(COLD_SECONDS)


@signals.worker_shutdown.connect
def _shut_down(**_: Any) -> None:
    LIFESPANS.end()  # of a pool of threads, and of none
    LOST.join(5)
    CANCELLATIONS.join(5)
    LIVENESS.stop()


register_types()
