"""The web application: put together from its settings."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.errors import AppImportError

from app import api, dashboard, runtime, task_packages
from app.config import Settings, get_settings
from app.observability import metrics, tracing
from app.web import registration
from app.web.transactions import db
from taskledger_sdk.packages import BrokenFiles

MIGRATIONS = Path(__file__).parent / "migrations"


class Application(Flask):
    """Flask without what this application never has: views that are coroutines."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Every view and hook is a plain function; Flask would ask each of them, a dozen times a request."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """The application that gunicorn serves and the flask command runs in. Raises SettingsError and BrokenFiles."""
    settings = settings or get_settings()
    runtime.set_up_logging(settings)
    _load_types(settings)
    if is_served():
        metrics.share("api", owner=os.getppid())  # its workers are one service
    app = Application(__name__, static_folder=None)
    tracing.start("api", flask_app=app)  # before anything else stands before a request
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_keys[1:]),  # of cookies, as Flask calls it
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_SCHEDULES_PER_OWNER=settings.max_schedules_per_owner,
        PROPAGATE_EXCEPTIONS=False,  # those of app/web/responses/problems.py answer, also in debug mode
    )
    registration.register(app, settings)
    api.register(app)
    dashboard.register(app, settings)
    if not is_served():
        _offer_migrations(app)
    return app


def is_served() -> bool:
    """Whether gunicorn serves the application; the flask command runs in it otherwise."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")


def _offer_migrations(app: Flask) -> None:
    from flask_migrate import Migrate  # loads Alembic, which takes an eighth of the start of a process

    Migrate(app, db, directory=str(MIGRATIONS), compare_type=True)


def _load_types(settings: Settings) -> None:
    """Before anything stands that would need them. Raises BrokenFiles."""
    try:
        task_packages.use(settings)
    except BrokenFiles as error:
        if not is_served():
            raise
        raise AppImportError(str(error)) from None  # gunicorn says it without a traceback, and ends
