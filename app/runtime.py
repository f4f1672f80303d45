"""How a process of the service starts: what it is called, and its logging, from its settings."""

import sys
from pathlib import Path

from app.config import Settings, get_settings
from app.observability import log, metrics

CALLED = {"worker": "worker", "beat": "dispatcher", "flower": "flower"}


def service_name() -> str:
    """What this process is, by the command that it was started with: worker, dispatcher, flower; api otherwise."""
    return next((name for word, name in CALLED.items() if word in sys.argv[1:]), "api")


def set_up_logging(settings: Settings | None = None) -> None:
    """Log as the settings say."""
    settings = settings or get_settings()
    log.configure(log_format=settings.log_format, log_level=settings.log_level, file=_log_file(settings))


def serve_metrics(port: int) -> None:
    """Offer /metrics on a port, unless it is 0. A port that is taken is only logged: the work is not to wait for it."""
    if not port:
        return
    host = get_settings().metrics_host
    try:
        metrics.serve(host, port)
    except OSError as error:
        log.get_logger(__name__).warning("metrics_not_offered", host=host, port=port, error=str(error))


def _log_file(settings: Settings) -> log.LogFile | None:
    if settings.log_file is None:
        return None
    path = Path(settings.log_file.replace("{process}", service_name()))
    return log.LogFile(path=path, most_bytes=settings.log_file_bytes, backups=settings.log_file_backups)
