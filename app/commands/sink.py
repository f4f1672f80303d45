"""`flask --app app sink csv stats webhooks`: run sinks until a signal; each in a thread of its own."""

import os
import signal
import threading
from collections.abc import Callable

import click
import structlog

from app.config import DEFAULT_VAR_DIR, Settings, get_settings
from app.messaging import Publisher, refuse_compressed
from app.services.events import Window
from app.services.events.sinks import NAMES
from app.sinks.base import Sink, SinkRunner
from app.sinks.csv import CsvSink
from app.sinks.stats import StatsSink
from app.sinks.webhooks import WebhooksSink
from tasks.brokers import broker_of
from tasks.celery import app as celery_app

log = structlog.get_logger(__name__)

JOIN_SECONDS = 10.0
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


@click.command("sink")
@click.argument("names", nargs=-1, required=True, type=click.Choice(NAMES))
def sink(names: tuple[str, ...]) -> None:
    """Run one or more sinks: csv, stats, webhooks. Further copies wait until the first one ends."""
    os.nice(NICE)
    refuse_compressed()
    window = Window()
    runners = {name: make_runner(name, window) for name in dict.fromkeys(names)}
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
    for runner in runners.values():
        runner.stop()
    for thread in threads:
        thread.join(JOIN_SECONDS)
    raise SystemExit(0 if stopping.is_set() else 1)


def make_runner(name: str, window: Window) -> SinkRunner:
    """A sink with connections of its own; what one reads of the ledger, the others find in the window."""
    settings = get_settings()
    broker = broker_of(settings.broker_url)
    connection = celery_app.connection_for_read(transport_options=dict(broker.transport_options), heartbeat=30)
    return SinkRunner(SINKS[name](settings), connection, Publisher(), window=window)
