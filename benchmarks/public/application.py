"""A public application as it is, for a worker of either command, and a pytest plugin for the tests that call it.

PUBLIC_APP names the application as `module:attribute`; ADOPTED=1 adopts it. Without an attribute it is the module of
tasks of Celery's integration suite, and the application is made as this suite makes its own.
"""

import functools
import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, Task
from celery.contrib.testing import app as testing_app
from celery.contrib.testing import manager as testing_manager
from celery.contrib.testing import worker as testing_worker

from taskledger_sdk.celery import adopt

SUITE_SECONDS = int(os.environ.get("PUBLIC_SECONDS", "100"))
SUITE_WAIT_SECONDS = 20
_make_test_app = testing_app.TestApp


def adopted(app: Celery) -> Celery:
    """The same, adopted where the environment says so."""
    return adopt(app) if os.environ.get("ADOPTED") == "1" else app


def made_app(*args: Any, **options: Any) -> Celery:
    """As the tests of Celery have it."""
    return adopted(_make_test_app(*args, **{**options, "enable_logging": True}))


@functools.cache
def public_app() -> Celery:
    """The application that PUBLIC_APP names."""
    module_name, _, attribute = os.environ["PUBLIC_APP"].partition(":")
    if attribute:
        module = importlib.import_module(module_name)
        _send_no_mail(module)
        return adopted(getattr(module, attribute))
    app = made_app(config={"broker_url": os.environ["TEST_BROKER"], "result_backend": os.environ["TEST_BACKEND"]})
    app.conf.update(result_extended=True, task_create_missing_queues=False)
    app.set_default()
    module = importlib.import_module(module_name)
    for each in list(vars(module).values()):
        if isinstance(each, type) and issubclass(each, Task) and each.__module__ == module_name and each.name:
            app.register_task(each())
    return app


def _send_no_mail(module: Any) -> None:
    """Where a Flask application of the module sends mail, its server refuses connections."""
    mail = getattr(getattr(module, "app", None), "extensions", {}).get("mail")
    if mail is not None:
        mail.server, mail.port = "127.0.0.1", 1


class Anybody:
    """What stands in for `inspect()` in tests that want to know whether a worker is there."""

    def ping(self) -> dict[str, Any]:
        return {"worker": {"ok": "pong"}}

    def __getattr__(self, name: str) -> Any:
        return dict


@contextmanager
def nobody(*_: Any, **__: Any) -> Iterator[None]:
    """In place of a worker in the process of the tests: the program has started one beside it."""
    yield None


def pytest_configure() -> None:
    """Adopt before any test is imported."""
    if ":" in os.environ["PUBLIC_APP"]:
        public_app()
    testing_app.TestApp = made_app
    if os.environ.get("ADOPTED") != "1":
        return
    testing_worker.start_worker = nobody
    testing_manager.ManagerMixin.wait_until_idle = lambda self: None
    testing_manager.ManagerMixin.inspect = lambda self, timeout=3.0: Anybody()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing waits for minutes."""
    for item in items:
        item.add_marker(pytest.mark.timeout(SUITE_SECONDS), append=False)
        module = item.module  # type: ignore[attr-defined]
        module.TIMEOUT = min(SUITE_WAIT_SECONDS, getattr(module, "TIMEOUT", SUITE_WAIT_SECONDS))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how each test ended, and the error's last line."""
    if report.when != "call" and report.passed:
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    outcome = "expected to fail" if hasattr(report, "wasxfail") else report.outcome
    line = {"test": report.nodeid, "outcome": outcome, "said": said.partition("\n")[0][:300]}
    with open(os.environ["PUBLIC_REPORT"], "a") as file:
        file.write(json.dumps(line) + "\n")


if os.environ.get("PUBLIC_WORKER") == "1":
    app = public_app()
