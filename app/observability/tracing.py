"""Traces with OpenTelemetry, where the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT names a collector.

One trace leads from the request through the broker to the attempt and its SQL: the row keeps the request's span, a hint
is published in a span below it, and so is an attempt. Everything else of OpenTelemetry is set by its own variables.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

import structlog

from tasks import correlation

DISPATCH, RUN, ATTEMPT = "dispatch", "run", "attempt"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

log = structlog.get_logger(__name__)

_NOTHING = nullcontext()
_tracer: Any = None
_process = 0


def is_wanted() -> bool:
    """Whether a collector is named."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def start(service: str, *, flask_app: Any = None) -> None:
    """Begin to trace this process, if a collector is named; called once in each process, after it was forked."""
    global _tracer, _process
    if not is_wanted():
        return
    if _process != os.getpid():
        _tracer, _process = _set_up(service), os.getpid()
    if _tracer is not None and flask_app is not None:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(flask_app, excluded_urls="health/.*,metrics")


def _set_up(service: str) -> Any:
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, _get_from_env_or_default
    except ImportError as error:
        log.warning("not_traced", error=f"{error}: install the extra otel, or unset {ENDPOINTS[0]}")
        return None
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or f"taskledger-{service}"})
    # What has no parent is a heartbeat or a look of the dispatcher; requests are the beginning of everything else.
    provider = TracerProvider(resource=resource, sampler=ParentBased(_requests_only(_get_from_env_or_default())))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    Psycopg2Instrumentor().instrument(skip_dep_check=True)
    return trace.get_tracer("taskledger")


def _requests_only(sampler: Any) -> Any:
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
    from opentelemetry.trace import SpanKind

    class RequestsOnly(Sampler):
        """Lets traces begin with a request."""

        def should_sample(
            self, parent_context: Any, trace_id: int, name: str, kind: Any = None, *rest: Any, **more: Any
        ) -> Any:
            if kind is not SpanKind.SERVER:
                return SamplingResult(Decision.DROP)
            return sampler.should_sample(parent_context, trace_id, name, kind, *rest, **more)

        def get_description(self) -> str:
            return f"RequestsOnly{{{sampler.get_description()}}}"

    return RequestsOnly()


def in_request() -> None:
    """Let what this request submits and calls belong to its span."""
    if _tracer is None:
        return
    context = _current_traceparent()
    if context is not None:
        correlation.begin(correlation.request_id(), context)


def span(name: str, *, parent: str | None, **attributes: Any) -> AbstractContextManager[None]:
    """A span below `parent` (a traceparent) for the time of a block; nothing where that is None or nobody traces."""
    if _tracer is None or parent is None:
        return _NOTHING
    return _span(name, parent, attributes)


@contextmanager
def _span(name: str, parent: str, attributes: dict[str, Any]) -> Iterator[None]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({correlation.TRACE_HEADER: parent})
    said = {
        f"taskledger.{key}": str(value) if isinstance(value, UUID) else value
        for key, value in attributes.items()
        if value is not None
    }
    kind = SpanKind.PRODUCER if name == DISPATCH else SpanKind.CONSUMER
    with (
        # The exception of a handler is recorded with the task, scrubbed; here it would not be.
        _tracer.start_as_current_span(
            name, context=context, kind=kind, attributes=said, record_exception=False, set_status_on_exception=False
        ),
        correlation.belonging_to(correlation.request_id(), _current_traceparent() or parent),
    ):
        yield


@contextmanager
def spans(name: str, parents: Sequence[str], **attributes: Any) -> Iterator[None]:
    """The same block as a span in each of several traces."""
    if _tracer is None or not parents:
        yield
        return
    with span(name, parent=parents[0], **attributes), spans(name, parents[1:], **attributes):
        yield


def _current_traceparent() -> str | None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(correlation.TRACE_HEADER)


def flush() -> None:
    """Export what is left, for a process that ends without its exit handlers."""
    if _tracer is None:
        return
    from opentelemetry import trace

    provider: Any = trace.get_tracer_provider()
    provider.force_flush(2_000)
