"""adopt(): an existing Celery application, whose tasks are the ledger's from now on."""

from __future__ import annotations

from typing import Any, TypeVar

from celery import Celery

from taskledger_sdk.celery import canvas, control, settings
from taskledger_sdk.celery.backend import LedgerBackend
from taskledger_sdk.celery.ledger import ATTRIBUTE, Ledger, ledger_of
from taskledger_sdk.celery.sending import Sender

App = TypeVar("App", bound=Celery)


def adopt(app: App, **options: Any) -> App:
    """Let the calls of a Celery application become tasks of the ledger, and its results be read there; the same app.

    Call it once, after the application is made. `options` are `url`, `api_key`, `profile`, `ca_file`, `allow_http`,
    `retry_seconds`, `django_transactions` and `enabled`; each may stand in the configuration as `taskledger_url` and so
    on, and the rest is found as `Client` finds it. With `enabled=False`, or TASKLEDGER_ADOPT=0 in the environment,
    nothing is changed. Eager mode stays eager. Raises TypeError for an unknown option.
    """
    settings.check_names(options)
    if ledger_of(app) is not None:
        raise TypeError(f"{app} was given to adopt() before: call it once, where the application is made")
    ledger = Ledger(app, options)
    setattr(app, ATTRIBUTE, ledger)
    ledger.sender = Sender(ledger, app.send_task)
    app.send_task = ledger.sender  # type: ignore[method-assign]
    _install_backend(app, ledger)
    control.install(app)
    canvas.patch()
    return app


def _install_backend(app: Any, ledger: Ledger) -> None:
    """In place of the configured one; it is made when it is first asked for, as that reads the configuration."""
    original = app._get_backend

    def get_backend() -> Any:
        return LedgerBackend(app=app) if ledger.settings.enabled else original()

    app._get_backend = get_backend
    app._backend_cache = None
    app._local.__dict__.pop("backend", None)
