"""Logging: one line an event, JSON or for people, for our own loggers and everybody else's."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import Processor

from app.scrubbing import scrub

LIBRARIES_AT_WARNING = ("amqp", "kombu", "urllib3", "alembic.runtime.plugins")


class _StderrHandler(logging.Handler):
    """Writes to whatever sys.stderr is at the moment, so that a replaced or captured stream is honoured."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = scrub(self.format(record)) + "\n"
            sys.stderr.write(line)  # one write a line: lines of several threads do not mix
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 (a log line must never end the work it reports; logging's own rule)
            self.handleError(record)


def configure(*, log_format: str = "auto", log_level: str = "INFO") -> None:
    """Send all logging of this process to standard error; calling it again replaces what was set up before.

    `log_format` is json, console, or auto (console on a terminal, json elsewhere).
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared = _shared_processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(as_json=as_json))
    )
    root = logging.getLogger()
    # Only our own handler is replaced: pytest and debuggers add theirs.
    root.handlers = [each for each in root.handlers if not isinstance(each, _StderrHandler)] + [handler]
    root.setLevel(log_level)
    logging.captureWarnings(capture=True)
    for name in LIBRARIES_AT_WARNING:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> Any:
    """A logger whose calls are a constant event name and fields: log.info("lease_expired", task_id=...)."""
    return structlog.stdlib.get_logger(name)


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


def _rendering(*, as_json: bool) -> list[Processor]:
    start: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        # Strings, numbers and lists as they are; anything else (UUID, datetime, exception) as its str().
        renderer = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        return [*start, structlog.processors.format_exc_info, renderer]
    return [
        *start,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback),
    ]
