"""`celery -A tasks beat` as our dispatcher: a scheduler whose ticks only see that every duty's thread lives."""

import os
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.beat import Scheduler

from app import runtime, watchdog
from app.config import get_settings
from app.connection_uptime import ConnectionUptime
from app.dispatcher import repairs
from app.dispatcher.admission import Admission
from app.dispatcher.artifacts import SweepArtifacts
from app.dispatcher.dispatch import Dispatch
from app.dispatcher.duty import Duty
from app.dispatcher.events import Events
from app.dispatcher.lost_hints import LostHints
from app.dispatcher.measure import Measure
from app.dispatcher.pauses import Pauses
from app.dispatcher.rescue import Rescue
from app.dispatcher.retention import REST_SECONDS, Retention
from app.dispatcher.schedules import Schedules
from app.dispatcher.schemas import Schemas
from app.dispatcher.waiting import Waiting
from app.dispatcher.workflows import Workflows
from app.messaging import Publisher
from app.observability import tracing

log = structlog.get_logger(__name__)

SUPERVISE_SECONDS = 1.0
JOIN_SECONDS = 5.0
CLOSE_SECONDS = 10.0  # and whatever comes after that


class DutyScheduler(Scheduler):
    """Named in celeryconfig.py. Any number of dispatchers may run: rows are taken with SKIP LOCKED."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._duties: list[Duty] = []
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Start the duties. There is no schedule file: what is due stands in the tasks table."""
        tracing.start("dispatcher")
        self._duties = make_duties()
        runtime.serve_metrics(get_settings().dispatcher_metrics_port)
        log.info("dispatcher_started", duties=[duty.name for duty in self._duties], pid=os.getpid())

    def tick(self, *_: Any, **__: Any) -> float:
        """See that each duty's thread lives; returns seconds until the next look."""
        for duty in self._duties:
            if not duty.is_alive():
                duty.start()
        return SUPERVISE_SECONDS

    def close(self) -> None:
        """End the duties after what they are doing; SIGTERM comes here."""
        watchdog.end_within(CLOSE_SECONDS)
        for duty in self._duties:
            duty.stop()
        end = time.monotonic() + JOIN_SECONDS  # for all of them: one that waits for the database lets the others wait
        for duty in self._duties:
            duty.join(max(0.0, end - time.monotonic()))
        self._duties = []

    @property
    def info(self) -> str:
        """For beat's banner."""
        return "    . duties -> " + ", ".join(duty.name for duty in self._duties)


def make_duties() -> list[Duty]:
    """All duties, each with its own connection to the broker where it needs one."""
    connected = ConnectionUptime()
    admission = Admission(Publisher())

    def duty(name: str, run_once: Any, every_seconds: float | Callable[[], float], rest_seconds: float = 0.0) -> Duty:
        return Duty(name, run_once, every_seconds=every_seconds, connected=connected, rest_seconds=rest_seconds)

    return [
        duty("dispatch", Dispatch(Publisher()).run_once, 0.2),
        duty("admission", admission.run_once, admission.pause_seconds),
        duty("lost_hints", LostHints(Publisher()).run_once, 1.0),
        duty("events", Events(Publisher()).run_once, 0.1),
        duty("pauses", Pauses().run_once, 1.0),
        duty("schemas", Schemas().run_once, 1.0),
        duty("repairs", repairs.Repairs().run_once, repairs.EVERY_SECONDS, repairs.REST_SECONDS),
        duty("schedules", Schedules().run_once, 0.5),
        duty("waiting", Waiting().run_once, 0.5),
        duty("workflows", Workflows().run_once, 0.5),
        duty("measure", Measure().run_once, 1.0),
        duty("retention", Retention().run_once, 60.0, REST_SECONDS),
        duty("artifacts", SweepArtifacts().run_once, 60.0),
        duty("rescue", Rescue(connected).run_once, 1.0),
    ]
