"""/queues/status, /queues/overloaded, counts, and the signal by which workers are scaled."""

from dataclasses import asdict
from typing import Any

import marshmallow as ma

from app.api.queues.routes import PauseView
from app.clock import utcnow
from app.database import Session
from app.errors import NotFound
from app.services.measuring import queue_report, task_counts
from app.services.measuring.levels import Levels
from app.services.measuring.queue_report import QueueFigures, Thresholds
from app.web.access import current_principal
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.fields import Instant
from app.web.requests.parsing import StrictSchema, absent
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import Text

blueprint = Blueprint("queue figures", __name__, url_prefix="/api/v1", description="Queues in figures")


class FiguresView(ma.Schema):
    """Of a queue, or of one type in it."""

    waiting = ma.fields.Integer(required=True, metadata={"description": "PENDING"})
    running = ma.fields.Integer(required=True, metadata={"description": "PROCESSING"})
    scheduled = ma.fields.Integer(required=True, metadata={"description": "SCHEDULED or RETRYING: not due yet"})
    suspended = ma.fields.Integer(
        required=True, metadata={"description": "WAITING: they need no worker; counted once a minute"}
    )
    held = ma.fields.Integer(required=True, metadata={"description": "Of those that wait: their hint is not out"})
    oldest_seconds = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "How long the first of those that wait has waited"}
    )
    rate_in = ma.fields.Float(required=True, metadata={"description": "Submitted tasks a second, in the last minutes"})
    rate_out = ma.fields.Float(required=True, metadata={"description": "Finished tasks a second"})
    drain_seconds = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Until nothing waits, if it goes on like this; null: it does not get shorter"},
    )


class TypeFiguresView(FiguresView):
    """One type in a queue."""

    type = ma.fields.String(required=True)
    known_by_workers = ma.fields.Integer(required=True, metadata={"description": "Live workers that know it"})


class QueueFiguresView(FiguresView):
    """One queue."""

    name = ma.fields.String(required=True)
    workers = ma.fields.Integer(required=True, metadata={"description": "Live workers that take from it"})
    concurrency = ma.fields.Integer(required=True, metadata={"description": "Handlers that they run at once"})
    slots = ma.fields.Integer(
        dump_only=True, required=True, metadata={"deprecated": True, "description": "Now `concurrency`"}
    )
    paused = ma.fields.Nested(PauseView, required=True, allow_none=True)
    types = ma.fields.List(ma.fields.Nested(TypeFiguresView), required=True)


class QueueStatusView(ma.Schema):
    """All queues."""

    measured_at = Instant(required=True, metadata={"description": "The dispatcher measures every two seconds"})
    items = ma.fields.List(ma.fields.Nested(QueueFiguresView), required=True)


class ReasonView(ma.Schema):
    """Why a queue is overloaded."""

    queue = ma.fields.String(required=True)
    what = ma.fields.String(required=True, metadata={"enum": ["waiting", "oldest_seconds", "drain_seconds", "workers"]})
    value = ma.fields.Float(required=True, allow_none=True)
    threshold = ma.fields.Float(required=True, allow_none=True)
    summary = ma.fields.String(required=True)


class ThresholdsView(ma.Schema):
    """More than this is too much; from the settings."""

    waiting = ma.fields.Integer(required=True)
    oldest_seconds = ma.fields.Integer(required=True)
    drain_seconds = ma.fields.Integer(required=True)


class OverloadedView(ma.Schema):
    """A verdict with its reasons."""

    overloaded = ma.fields.Boolean(required=True)
    reasons = ma.fields.List(ma.fields.Nested(ReasonView), required=True)
    thresholds = ma.fields.Nested(ThresholdsView, required=True)
    measured_at = Instant(required=True)


class CountView(ma.Schema):
    """How many tasks, of the caller's (an admin's: of everybody's)."""

    count = ma.fields.Integer(required=True)
    by_type = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer(), required=True)


class ScalingQuery(StrictSchema):
    """Which queue; all unless it is given."""

    queue = Text(load_default=absent, metadata={"description": "Only this queue"})


class ScalingItem(ma.Schema):
    """How many handlers a queue needs at once."""

    queue = ma.fields.String(required=True)
    waiting = ma.fields.Integer(required=True)
    running = ma.fields.Integer(required=True)
    workers = ma.fields.Integer(required=True)
    concurrency = ma.fields.Integer(required=True, metadata={"description": "Handlers that live workers run at once"})
    desired_concurrency = ma.fields.Integer(required=True, metadata={"description": "What it takes"})
    slots = ma.fields.Integer(
        dump_only=True,
        required=True,
        attribute="concurrency",
        metadata={"deprecated": True, "description": "Now `concurrency`"},
    )
    desired_slots = ma.fields.Integer(
        dump_only=True,
        required=True,
        attribute="desired_concurrency",
        metadata={"deprecated": True, "description": "Now `desired_concurrency`"},
    )
    reason = ma.fields.String(required=True)


class ScalingView(ma.Schema):
    """For an autoscaler: KEDA reads items.0.desired_concurrency."""

    items = ma.fields.List(ma.fields.Nested(ScalingItem), required=True)


@blueprint.get("/queues/status")
@blueprint.response(200, QueueStatusView())
def queue_status() -> dict[str, Any]:
    """Read every queue in figures, with each type in it: what waits and runs, how long, how fast."""
    with transaction() as session:
        found, figures = _figures(session)
    return {"measured_at": found.measured_at, "items": [_flat(queue) for queue in figures]}


@blueprint.get("/queues/overloaded")
@blueprint.response(200, OverloadedView())
def overloaded() -> dict[str, Any]:
    """Tell whether there is more than can be worked off, and why."""
    settings = current_settings()
    limits = Thresholds(
        waiting=settings.overload_waiting_tasks,
        oldest_seconds=settings.overload_oldest_seconds,
        drain_seconds=settings.overload_drain_seconds,
    )
    with transaction() as session:
        found, figures = _figures(session)
    verdict = queue_report.verdict(figures, limits)
    return {**asdict(verdict), "thresholds": limits, "measured_at": found.measured_at}


@blueprint.get("/queues/failed-count")
@blueprint.response(200, CountView())
def failed_count() -> dict[str, Any]:
    """Count the dead letters: tasks that are FAILED."""
    with transaction() as session:
        return _counted(task_counts.failed(session, owner=current_principal().sees))


@blueprint.get("/queues/pending-count")
@blueprint.response(200, CountView())
def pending_count() -> dict[str, Any]:
    """Count the tasks that are PENDING: due, and waiting for a worker."""
    with transaction() as session:
        return _counted(task_counts.pending(session, owner=current_principal().sees, now=utcnow()))


@blueprint.get("/queues/scaling")
@blueprint.arguments(ScalingQuery(), location="query")
@blueprint.response(200, ScalingView())
@blueprint.problem(404, "No queue of this name")
def scaling(query: dict[str, Any]) -> dict[str, Any]:
    """Read how many handlers each queue needs at once: the signal for an autoscaler."""
    settings = current_settings()
    with transaction() as session:
        _, figures = _figures(session)
    if query["queue"] is not None:
        figures = [each for each in figures if each.name == query["queue"]]
        if not figures:
            raise NotFound(f"There is no queue called {query['queue']!r}: GET /api/v1/queues lists them.")
    return {
        "items": [
            queue_report.scaling(
                each,
                drain_seconds=settings.scaling_drain_seconds,
                concurrency_per_worker=settings.scaling_concurrency_per_worker,
            )
            for each in figures
        ]
    }


def _figures(session: Session) -> tuple[Levels, list[QueueFigures]]:
    return queue_report.read(session, now=utcnow())


def _flat(queue: QueueFigures) -> dict[str, Any]:
    return {
        "name": queue.name,
        "workers": queue.workers,
        "concurrency": queue.concurrency,
        "slots": queue.concurrency,
        "paused": queue.paused,
        **asdict(queue.figures),
        "types": [
            {"type": each.type, "known_by_workers": each.known_by_workers, **asdict(each.figures)}
            for each in queue.types
        ],
    }


def _counted(by_type: dict[str, int]) -> dict[str, Any]:
    return {"count": sum(by_type.values()), "by_type": by_type}
