"""How a process of the service starts: its logging, from its settings."""

from app import log
from app.config import get_settings


def set_up_logging() -> None:
    """Log as the settings say; for processes that Celery starts (gunicorn's do it in the application factory)."""
    settings = get_settings()
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
