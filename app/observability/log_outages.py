"""A broker or database that refuses us, again and again: said once, then once a minute with a count, in one line."""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

AGAIN_SECONDS = 60.0
MAX_KNOWN = 500
# What these say as warning, error or critical is about the connection; what is wrong with a message we say ourselves.
LIBRARIES = ("celery.worker.consumer", "celery.beat", "kombu")
OURS = frozenset(
    {
        "audit_receiver_failed",
        "hints_dropped",
        "hints_not_confirmed",
        "messages_dropped",
        "publisher_failed",
        "queues_not_counted",
        "sink_waits_for_broker",
    }
)
# These are said when they begin and when they end, so that none may be left out; only their tracebacks are.
ONCE = frozenset({"duty_failed", "sink_interrupted"})
# Their exceptions say what the other side said: where in our code that was heard helps nobody.
AWAY_MODULES = ("amqp", "billiard", "kombu", "nats", "redis", "tasks.transports")
# Celery asks for this with every lost connection, also of those who have set it (celeryconfig.py).
ANSWERED = "worker_cancel_long_running_tasks_on_connection_loss"
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass
class _Said:
    at: float
    withheld: int = 0


class Outages(logging.Filter):
    """Lets a line about an outage pass when it is new, and once a minute; the same for all handlers that have it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._said: dict[str, _Said] = {}
        self._here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decided once a record, because every handler asks, one after the other in the same thread."""
        if getattr(self._here, "record", None) is not record:
            self._here.passes = self._passes(record)
            self._here.record = record
        return bool(self._here.passes)

    def _passes(self, record: logging.LogRecord) -> bool:
        if record.name == "py.warnings" and ANSWERED in record.getMessage():
            return False
        if record.levelno < logging.WARNING or not _is_about_outage(record):
            return True
        error = _error_of(record)
        if isinstance(record.msg, dict) and record.msg["event"] in ONCE:
            _put(record, withheld=0, error=error)
            return True
        key = NUMBER.sub("#", f"{record.name} {_text(record)} {type(error).__name__} {error}")
        now, said = self._monotonic(), self._said.get(key)
        if said is not None and now - said.at < AGAIN_SECONDS:
            said.withheld += 1
            return False
        if len(self._said) >= MAX_KNOWN:
            self._said.clear()
        self._said[key] = _Said(at=now)
        _put(record, withheld=said.withheld if said else 0, error=error)
        return True


def _is_about_outage(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, dict):
        return record.msg.get("event") in OURS | ONCE
    return any(record.name == name or record.name.startswith(f"{name}.") for name in LIBRARIES)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    """The exception whose traceback would be written."""
    given = record.msg.get("exc_info") if isinstance(record.msg, dict) else record.exc_info
    if isinstance(given, BaseException):
        return given
    if given and not isinstance(given, tuple):
        given = sys.exc_info()
    return given[1] if given else None


def _text(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, dict):
        return record.getMessage()
    own = ("timestamp", "exc_info", "level")
    return " ".join(f"{name}={value}" for name, value in record.msg.items() if name not in own)


def _put(record: logging.LogRecord, *, withheld: int, error: BaseException | None) -> None:
    """Say how often it happened meanwhile; what the other side said stands in the line instead of under it."""
    is_away = isinstance(error, OSError) or type(error).__module__.startswith(AWAY_MODULES)
    again = f"{withheld} more in the last minute or longer"
    if isinstance(record.msg, dict):
        event: MutableMapping[str, Any] = record.msg
        if is_away:
            event.pop("exc_info", None)
        if withheld:
            event["withheld"] = withheld
        return
    said = " ".join(record.getMessage().split())
    if error is not None and is_away:
        record.exc_info = record.exc_text = None
        said += "" if str(error) in said else f" ({type(error).__name__}: {error})"
    record.msg, record.args = said + (f" ({again})" if withheld else ""), ()
