"""From an application and options to a worker that runs, and its end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from celery import signals
from celery.app import trace
from celery.app.base import Celery

from taskledger_sdk.celery.ledger import ledger_of
from taskledger_sdk.celery.worker import backend, refusals
from taskledger_sdk.celery.worker.declaring import Declaring, OtherApplication, look_after_forever, try_to_declare
from taskledger_sdk.celery.worker.options import WorkerOptions
from taskledger_sdk.celery.worker.pool import is_main_process, set_process_name
from taskledger_sdk.celery.worker.types import AdoptedType, adopted_types
from taskledger_sdk.celery.worker.worker import PoolWorker
from taskledger_sdk.client import settings
from taskledger_sdk.client.work.messages import WorkerLife
from taskledger_sdk.client.work.threads import life_of
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.errors import RequestFailed
from taskledger_sdk.http.retrying import PATIENCE, Patience
from taskledger_sdk.http.transport import Transport

log = logging.getLogger("taskledger.celery")

CLAIM_WAIT_SECONDS = 4  # a stop waits for the last claim, which may bring what this worker has just given back


class CannotStart(Exception):
    """The worker cannot begin; the text says why, and what to do."""


def run(app: Celery, options: WorkerOptions, *, loglevel: Any, logfile: str | None) -> int:
    """Work until a signal ends it; returns the exit status. Raises CannotStart, RefusedApplication."""
    app.loader.init_worker()
    trace.setup_worker_optimizations(app, options.hostname)
    signals.celeryd_init.send(sender=options.hostname, instance=None, conf=app.conf, options={})
    app.log.setup(loglevel, logfile, redirect_stdouts=app.conf.worker_redirect_stdouts, hostname=options.hostname)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it has a word for each request
    types = _types(app, options)
    taken = {name: each for name, each in types.items() if options.takes(each.queue)}
    if not taken:
        raise CannotStart(f"no task goes to {', '.join(sorted(options.queues or ()))}: look at task_routes and -Q")
    life = _life(options, taken)
    with ExitStack() as closing:
        told = closing.enter_context(Transport(_connection(app), patience=PATIENCE))
        declaring = Declaring(told.answer, types, owner=app.main or "without a name", worker=life.name)
        may_declare = _declared(declaring)
        work = closing.enter_context(Transport(_connection(app), patience=Patience(tries=1)))
        backend.install(app)
        worker = PoolWorker(app, options, life, taken, work.answer)
        signals.worker_init.send(sender=worker)
        set_process_name(options.hostname)
        _handle_signals(worker)
        is_over = threading.Event()
        if may_declare:
            arguments = (declaring, is_over.wait)
            keeper = threading.Thread(
                target=look_after_forever,
                args=arguments,
                kwargs={"retire_after": options.retire_after_seconds},
                daemon=True,
            )
            keeper.start()
        signals.celeryd_after_setup.send(sender=options.hostname, instance=worker, conf=app.conf)
        _say(options, taken)
        signals.worker_ready.send(sender=worker)
        try:
            worker.run()
        except RequestFailed as error:
            raise CannotStart(f"nothing can be claimed: {error}") from error
        finally:
            is_over.set()
            signals.worker_shutdown.send(sender=worker)
    return 0


def declare_only(app: Celery, options: WorkerOptions) -> int:
    """Declare the tasks of an application; returns how many were new or different. Raises CannotStart."""
    app.loader.init_worker()
    app.finalize()
    types = _types(app, options)
    with Transport(_connection(app), patience=PATIENCE) as transport:
        declaring = Declaring(transport.answer, types, owner=app.main or "without a name", worker="")
        try:
            return declaring.declare()
        except (RequestFailed, OtherApplication) as error:
            raise CannotStart(str(error)) from error


def _types(app: Celery, options: WorkerOptions) -> dict[str, AdoptedType]:
    refusals.check(app, pool=options.pool)
    try:
        types = adopted_types(app, time_limit=options.time_limit, queues=options.queues or ())
    except ValueError as error:
        raise CannotStart(str(error)) from None
    if not types:
        raise CannotStart("the application has no tasks: are their modules imported (`include`, `autodiscover_tasks`)?")
    return types


def _connection(app: Celery) -> Connection:
    ledger = ledger_of(app)
    if ledger is None:
        raise CannotStart(
            "the application is not adopted: write `taskledger_sdk.celery.adopt(app)` behind its `Celery(…)`"
        )
    said = ledger.settings
    try:
        return settings.connection_of(said.url, said.api_key, said.profile, said.ca_file, allow_http=said.allow_http)
    except RequestFailed as error:
        raise CannotStart(str(error)) from None


def _declared(declaring: Declaring) -> bool:
    try:
        return try_to_declare(declaring)
    except (RequestFailed, OtherApplication) as error:
        raise CannotStart(f"the tasks could not be declared: {error}") from error


def _life(options: WorkerOptions, types: dict[str, AdoptedType]) -> WorkerLife:
    """Its name is new at each start: what a former life of the same worker holds is not this one's."""
    return replace(life_of(None, types, options.concurrency), wait_seconds=CLAIM_WAIT_SECONDS)


def _say(options: WorkerOptions, types: dict[str, AdoptedType]) -> None:
    log.info("%s runs %d task types, %d at once (%s)", options.hostname, len(types), options.concurrency, options.pool)
    for each in types.values():
        if each.declaration["rate"]:
            log.warning(
                "the rate limit of %s, %s, holds for the whole installation; under Celery it was for each worker",
                each.task,
                each.declaration["rate"],
            )


def _handle_signals(worker: PoolWorker) -> None:
    """TERM is a warm stop and QUIT a cold one; INT is warm, then cold; REMAP_SIGTERM as in Celery."""
    pid, seen = os.getpid(), set[str]()

    def handler(name: str, is_cold: Callable[[], bool]) -> Callable[[int, Any], None]:
        def on_signal(_number: int, _frame: Any) -> None:
            if not is_main_process(pid):
                return
            how = "Cold" if is_cold() else "Warm"
            seen.add(name)
            signals.worker_shutting_down.send(sender=worker.hostname, sig=name, how=how, exitcode=0)
            worker.stop_coldly() if how == "Cold" else worker.stop_warmly()

        return on_signal

    term_is_cold = os.environ.get("REMAP_SIGTERM") == "SIGQUIT"
    signal.signal(signal.SIGTERM, handler("SIGTERM", lambda: term_is_cold))
    signal.signal(signal.SIGQUIT, handler("SIGQUIT", lambda: True))
    signal.signal(signal.SIGINT, handler("SIGINT", lambda: "SIGINT" in seen))
