"""What the ledger tells Prometheus: counts that are exact over all processes and restarts, and what waits where."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from app.database import Session
from app.models import FINISHED, Status
from app.services import circuits
from app.services.circuits import State
from app.services.dispatch import queues, workers
from app.services.events import sinks
from app.services.lifecycle.transitions import UNREPLAYED
from app.services.measuring import counters, levels, queue_report
from app.services.measuring.levels import Levels
from app.services.measuring.queue_report import QueueFigures
from taskledger_sdk.registry import known_types

_DUTIES = sa.text("SELECT name, last_success_at FROM duties")
COUNTED = {
    counters.OUTCOMES_DROPPED: (
        "taskledger_leases_lost",
        "Attempts that lost their lease: stopped, or their outcome dropped",
    ),
    counters.ATTEMPTS_LOST: ("taskledger_attempts_lost", "Attempts whose worker was gone"),
    counters.HINTS_REPUBLISHED: ("taskledger_hints_republished", "Hints that were lost on the way and published again"),
    counters.DUPLICATES_SUPPRESSED: (
        "taskledger_duplicates_suppressed",
        "Hints that found their task taken, finished or not due",
    ),
    counters.MESSAGES_REFUSED: (
        "taskledger_sink_messages_refused",
        "Messages to sinks that no dispatcher can have sent: unreadable, or naming events that never happened",
    ),
}


def families(session: Session, *, drain_seconds: int, concurrency_per_worker: int, now: datetime) -> list[Metric]:
    """All of them. The counts are those of the last measurement, up to some seconds old; see `levels`."""
    snapshot = levels.read(session, now=now)
    live = workers.alive(session, now=now)
    paused = queues.pauses(session)
    figures = queue_report.queue_figures(snapshot, live, paused, homes=queues.homes(), now=now)
    return [
        *_tasks(snapshot),
        *_queues(snapshot, figures, now),
        *_scaling(figures, drain_seconds, concurrency_per_worker),
        *_counters(counters.read(session)),
        *_growing(snapshot, now),
        *_sinks(session, now),
        _circuits(session),
        *_duties(session, now),
        _measured(snapshot, now),
    ]


def _tasks(snapshot: Levels) -> Iterator[Metric]:
    submitted = CounterMetricFamily("taskledger_tasks_submitted", "Tasks accepted", labels=["type"])
    finished = CounterMetricFamily(
        "taskledger_tasks_finished", "Tasks that ended, as often as they did", labels=["type", "status"]
    )
    retries = CounterMetricFamily(
        "taskledger_task_retries", "Failed attempts that another one follows", labels=["type"]
    )
    names = sorted(set(known_types()) | {each.type for each in snapshot.totals})
    for name in names:
        totals = [each for each in snapshot.totals if each.type == name]
        submitted.add_metric([name], sum(each.n for each in totals if each.previous_status is None))
        retries.add_metric([name], sum(each.n for each in totals if each.status == Status.RETRYING))
        for status in sorted(FINISHED):
            ended = (each for each in totals if not UNREPLAYED.joins(each.previous_status, each.status))
            finished.add_metric([name, status.value], sum(each.n for each in ended if each.status == status))
    yield from (submitted, finished, retries)


def _queues(snapshot: Levels, figures: Iterable[QueueFigures], now: datetime) -> Iterator[Metric]:
    tasks = GaugeMetricFamily(
        "taskledger_queue_tasks", "Unfinished tasks by where they stand", labels=["queue", "type", "status"]
    )
    by_place: dict[tuple[str, str, str], int] = {}
    for each in snapshot.levels:
        place = (each.queue, each.type, each.status)
        by_place[place] = by_place.get(place, 0) + each.tasks
    for place, count in sorted(by_place.items()):
        tasks.add_metric(place, count)
    oldest = GaugeMetricFamily(
        "taskledger_queue_oldest_seconds", "How long the first PENDING task of a queue has waited", labels=["queue"]
    )
    serving = GaugeMetricFamily("taskledger_queue_workers", "Live workers that take from a queue", labels=["queue"])
    concurrency = GaugeMetricFamily("taskledger_queue_concurrency", "Handlers that they run at once", labels=["queue"])
    slots = GaugeMetricFamily(
        "taskledger_queue_slots", "Deprecated: now taskledger_queue_concurrency", labels=["queue"]
    )
    paused = GaugeMetricFamily("taskledger_queue_paused", "1 while a queue is paused", labels=["queue"])
    for queue in figures:
        oldest.add_metric([queue.name], queue.figures.oldest_seconds or 0.0)
        serving.add_metric([queue.name], queue.workers)
        concurrency.add_metric([queue.name], queue.concurrency)
        slots.add_metric([queue.name], queue.concurrency)
        paused.add_metric([queue.name], queue.paused is not None)
    lag = GaugeMetricFamily(
        "taskledger_due_lag_seconds",
        "By how much the dispatcher is late: the oldest task that is due and has no hint",
        value=snapshot.due_lag_seconds(now),
    )
    yield from (tasks, oldest, serving, concurrency, slots, paused, lag)


def _scaling(figures: Iterable[QueueFigures], drain_seconds: int, concurrency_per_worker: int) -> Iterator[Metric]:
    desired = GaugeMetricFamily(
        "taskledger_queue_desired_concurrency",
        "Handlers that a queue needs at once; for autoscalers",
        labels=["queue"],
    )
    old = GaugeMetricFamily(
        "taskledger_queue_desired_slots", "Deprecated: now taskledger_queue_desired_concurrency", labels=["queue"]
    )
    for queue in figures:
        asked = queue_report.scaling(queue, drain_seconds=drain_seconds, concurrency_per_worker=concurrency_per_worker)
        desired.add_metric([queue.name], asked.desired_concurrency)
        old.add_metric([queue.name], asked.desired_concurrency)
    yield from (desired, old)


def _counters(read: dict[str, int]) -> Iterator[Metric]:
    for name, (metric, text) in COUNTED.items():
        yield CounterMetricFamily(metric, text, value=read.get(name, 0))


def _growing(snapshot: Levels, now: datetime) -> Iterator[Metric]:
    growth = snapshot.growth
    if growth is None:
        return
    dead = GaugeMetricFamily("taskledger_dead_letters", "Tasks that are FAILED", labels=["type"])
    for name in sorted(set(known_types()) | set(growth.dead_letters)):
        dead.add_metric([name], growth.dead_letters.get(name, 0))
    yield dead
    yield GaugeMetricFamily(
        "taskledger_outbox_events", "Events that were not passed on to the broker yet", value=growth.outbox_events
    )
    since = growth.outbox_since
    yield GaugeMetricFamily(
        "taskledger_outbox_age_seconds",
        "Age of the oldest of them",
        value=0.0 if since is None else max(0.0, (now - since).total_seconds()),
    )
    yield GaugeMetricFamily("taskledger_database_size_bytes", "Size of the database", value=growth.database_bytes)


def _sinks(session: Session, now: datetime) -> Iterator[Metric]:
    events = GaugeMetricFamily(
        "taskledger_sink_lag_events",
        "Events that a sink has not taken yet; below zero: it stands beyond the ledger's newest",
        labels=["sink"],
    )
    seconds = GaugeMetricFamily(
        "taskledger_sink_lag_seconds", "How long ago the oldest of them happened", labels=["sink"]
    )
    alarm = GaugeMetricFamily(
        "taskledger_sink_alarm",
        "1 while a sink stands beyond the ledger's newest event, and for an hour after it was lied to or missed events",
        labels=["sink"],
    )
    for sink in sinks.statuses(session, now=now):
        events.add_metric([sink.name], sink.lag_events)
        seconds.add_metric([sink.name], sink.lag_seconds)
        alarm.add_metric([sink.name], sink.is_alarmed)
    yield from (events, seconds, alarm)


def _circuits(session: Session) -> Metric:
    family = GaugeMetricFamily(
        "taskledger_webhook_circuits", "Receivers of webhooks whose circuit is not closed", labels=["state"]
    )
    counts = circuits.counts(session)
    for state in (State.OPEN, State.HALF_OPEN):
        family.add_metric([state.value], counts.get(state, 0))
    return family


def _duties(session: Session, now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "taskledger_duty_success_age_seconds", "Since a dispatcher's duty last succeeded, anywhere", labels=["duty"]
    )
    for row in session.execute(_DUTIES):
        if row.last_success_at is not None:
            age.add_metric([row.name], max(0.0, (now - row.last_success_at).total_seconds()))
    yield age


def _measured(snapshot: Levels, now: datetime) -> Metric:
    return GaugeMetricFamily(
        "taskledger_measurement_age_seconds",
        "Age of the counts above: the dispatcher measures every two seconds or so",
        value=max(0.0, (now - snapshot.measured_at).total_seconds()),
    )
