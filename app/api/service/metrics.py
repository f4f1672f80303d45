"""/metrics: what the API's processes count, and what the ledger knows of all of them, for Prometheus."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from app.clock import utcnow
from app.observability import metrics
from app.observability.log import get_logger
from app.services.measuring import ledger_metrics
from app.web.access import Access, access
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.transactions import transaction

log = get_logger(__name__)

blueprint = Blueprint("metrics", __name__, description="For Prometheus")

KEPT_SECONDS = 2.0  # several scrapers cost the ledger one look


class _Ledger:
    """The ledger's metrics, read at most every two seconds by this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: list[Metric] = []
        self._until = 0.0

    def collect(self) -> Iterator[Metric]:
        """Those of the ledger; while the database is away only that it is."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._families = _read()
                self._until = time.monotonic() + KEPT_SECONDS
            yield from self._families

    def forget(self) -> None:
        """Read anew at the next scrape."""
        self._until = 0.0


LEDGER = _Ledger()


def _read() -> list[Metric]:
    settings = current_settings()
    try:
        with transaction() as session:
            found = ledger_metrics.families(
                session,
                drain_seconds=settings.scaling_drain_seconds,
                concurrency_per_worker=settings.scaling_concurrency_per_worker,
                now=utcnow(),
            )
    except sa.exc.SQLAlchemyError as error:
        log.warning("ledger_not_measured", error=str(getattr(error, "orig", error)).strip())
        return [_up(0)]
    return [*found, _up(1)]


def _up(value: int) -> Metric:
    return GaugeMetricFamily("taskledger_ledger_up", "1 while the API reaches the database", value=value)


@blueprint.get("/metrics")
@blueprint.response(200, {"type": "string"}, content_type="text/plain", description="Prometheus' text format")
@access(Access.METRICS)
def read_metrics() -> Response:
    """Read the metrics; docs/reference/metrics.md describes each."""
    registry: Any = CollectorRegistry()
    registry.register(LEDGER)
    return Response(metrics.exposition() + generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
