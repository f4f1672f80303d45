"""Logging: one line an event, JSON or for people, for our own loggers and everybody else's."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import Processor

from app.observability.log_file import SharedFileHandler
from app.observability.log_outages import Outages
from app.observability.scrubbing import scrub

LIBRARIES_AT_WARNING = ("amqp", "kombu", "urllib3", "alembic.runtime.plugins")


_about: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("about", default=None)


class _StderrHandler(logging.Handler):
    """Writes to whatever sys.stderr is at the moment, so that a replaced or captured stream is honoured."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = scrub(self.format(record)) + "\n"
            sys.stderr.write(line)  # one write a line: lines of several threads do not mix
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 (a log line must never end the work it reports; logging's own rule)
            self.handleError(record)


class _FileHandler(SharedFileHandler):
    """The same lines, always as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """Where lines are kept beside standard error."""

    path: Path
    most_bytes: int
    backups: int


def configure(*, log_format: str = "auto", log_level: str = "INFO", file: LogFile | None = None) -> None:
    """Send all logging of this process to standard error; calling it again replaces what was set up before.

    `log_format` is json, console, or auto (console on a terminal, json elsewhere). A file gets JSON in any case.
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
    handler, outages = _StderrHandler(), Outages()
    handler.addFilter(outages)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(as_json=as_json))
    )
    root = logging.getLogger()
    # Only our own handlers are replaced: pytest and debuggers add theirs.
    for old in [each for each in root.handlers if isinstance(each, _StderrHandler | _FileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    if file is not None:
        to_file = _FileHandler(file.path, most_bytes=file.most_bytes, backups=file.backups)
        processors = _rendering(as_json=True)
        to_file.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
        to_file.addFilter(outages)
        root.addHandler(to_file)
    root.setLevel(log_level)
    logging.captureWarnings(capture=True)
    for name in LIBRARIES_AT_WARNING:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> Any:
    """A logger whose calls are a constant event name and fields: log.info("lease_expired", task_id=...)."""
    return structlog.stdlib.get_logger(name)


class about:  # noqa: N801 (for a with statement, like those of contextlib; a generator takes three times as long)
    """What is logged in the block says these fields, too; they are asked for only when something is."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Callable[[], Mapping[str, Any]]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _about.set(self._fields)

    def __exit__(self, *_: object) -> None:
        _about.reset(self._token)


def _say_about(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields = _about.get()
    return event if fields is None else {**fields(), **event}


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _say_about,
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
