"""`flask --app app sink csv stats webhooks audit`: run sinks until a signal; each in a thread of its own."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import click
import structlog

from app import watchdog
from app.config import DEFAULT_VAR_DIR, Settings, get_settings
from app.messaging import Publisher, refuse_compressed
from app.services.events import Window
from app.services.events.sinks import AUDIT, NAMES
from app.sinks.audit import AuditRunner, receiver_of
from app.sinks.base import Sink, SinkRunner
from app.sinks.csv import CsvSink
from app.sinks.stats import StatsSink
from app.sinks.webhooks import WebhooksSink
from tasks.celery import app as celery_app

log = structlog.get_logger(__name__)

JOIN_SECONDS = 5.0
CLOSE_SECONDS = 10.0  # and whatever comes after that
LOOK_SECONDS = 0.5
NICE = 10  # work comes first where both want the same core; a sink that falls behind catches up


def _csv(settings: Settings) -> Sink:
    directory = settings.csv_dir or (settings.var_dir or DEFAULT_VAR_DIR) / "csv"
    return CsvSink(directory, keep_days=settings.csv_retention_days)


SINKS: dict[str, Callable[[Settings], Sink]] = {
    "csv": _csv,
    "stats": lambda _: StatsSink(),
    "webhooks": lambda _: WebhooksSink(),
}


class Runner(Protocol):
    """What runs a sink."""

    def run_until_stopped(self) -> None:
        """Run until `stop` is called."""

    def stop(self) -> None:
        """Let the run end."""


@click.command("sink")
@click.argument("names", nargs=-1, required=True, type=click.Choice((*NAMES, AUDIT)))
def sink(names: tuple[str, ...]) -> None:
    """Run one or more sinks: csv, stats, webhooks, audit. Further copies wait until the first one ends.

    The sink audit sends the audit log to AUDIT_SINK_URL.
    """
    runners = _runners(dict.fromkeys(names))
    os.nice(NICE)
    refuse_compressed()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads = [
        threading.Thread(target=runner.run_until_stopped, name=f"sink-{name}", daemon=True)
        for name, runner in runners.items()
    ]
    for thread in threads:
        thread.start()
    while not stopping.wait(LOOK_SECONDS) and all(thread.is_alive() for thread in threads):
        pass
    watchdog.end_within(CLOSE_SECONDS)
    for runner in runners.values():
        runner.stop()
    end = time.monotonic() + JOIN_SECONDS  # for all of them
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    raise SystemExit(0 if stopping.is_set() else 1)


def _runners(names: Iterable[str]) -> dict[str, Runner]:
    window = Window()
    return {name: _audit() if name == AUDIT else make_runner(name, window) for name in names}


def _audit() -> AuditRunner:
    try:
        receiver = receiver_of(get_settings())
    except OSError as error:  # of the authority's certificate
        raise click.ClickException(f"AUDIT_SINK_CA_FILE cannot be used: {error}") from error
    if receiver is None:
        raise click.UsageError(
            "AUDIT_SINK_URL is not set: say where the audit log is sent, tls://logs.example.com:6514"
        )
    return AuditRunner(receiver)


def make_runner(name: str, window: Window) -> SinkRunner:
    """A sink with connections of its own; what one reads of the ledger, the others find in the window."""
    settings = get_settings()
    broker = settings.broker
    connection = celery_app.connection_for_read(transport_options=dict(broker.transport_options), heartbeat=30)
    return SinkRunner(SINKS[name](settings), connection, Publisher(), window=window)
