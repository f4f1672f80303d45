"""A Celery application that was adopted, the API that it talks to, and a worker for its tasks."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from werkzeug.serving import make_server

from app.services.remote.known import TYPES
from taskledger_sdk.celery import adopt
from tests.support.adopted_worker import AdoptedWorker, Telling


@pytest.fixture(scope="session")
def api_url(application) -> Iterator[str]:
    """The API of this process, on a port of its own."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


class Declined(Exception):
    """An error of the application."""


def tasks_of(app: Celery) -> SimpleNamespace:
    """The tasks of the application."""
    telling = Telling("PROGRESS", {"current": 1, "total": 4})

    @app.task(name="shop.add", shared=False)
    def add(x: Any, y: Any = 0) -> Any:
        return x + y

    @app.task(name="shop.total", shared=False)
    def total(numbers: list[Any]) -> Any:
        return sum(numbers)

    @app.task(name="shop.echo", shared=False)
    def echo(*args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @app.task(name="shop.nothing", shared=False)
    def nothing(*args: Any) -> None:
        return None

    @app.task(name="shop.decline", shared=False)
    def decline(*args: Any) -> None:
        raise Declined("no funds", 17)

    @app.task(name="shop.Slowly", shared=False)
    def slowly() -> Any:
        return telling

    return SimpleNamespace(
        app=app, add=add, total=total, echo=echo, nothing=nothing, decline=decline, slowly=slowly, telling=telling
    )


@pytest.fixture
def shop(admin, api_url) -> SimpleNamespace:
    """The application, adopted, and its tasks."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    adopt(app, url=api_url, api_key=admin.key)
    return tasks_of(app)


@pytest.fixture
def declared(shop, admin, api_url) -> AdoptedWorker:
    """A worker that has declared the tasks, and does not run yet."""
    TYPES.forget()
    worker = AdoptedWorker(shop.app, api_url, admin.key)
    worker.declare(api_url)
    return worker


@pytest.fixture
def worker(declared) -> Iterator[AdoptedWorker]:
    """The same, at work."""
    with declared:
        yield declared


@pytest.fixture
def stored(session, shop):
    """The rows of the application's tasks, oldest first."""
    import sqlalchemy as sa

    def rows() -> list[Any]:
        session.rollback()
        query = sa.text("SELECT * FROM tasks WHERE type LIKE 'shop.%' ORDER BY created_at, id")
        return list(session.execute(query))

    return rows
