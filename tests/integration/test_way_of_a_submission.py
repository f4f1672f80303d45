"""The way of one submission, as docs/contributing/architecture.md lists it: each file named there has a part in it."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from kombu import Connection
from pytest_httpserver import HTTPServer

from app import clock
from app.database import Session
from app.dispatcher.admission import Admission
from app.dispatcher.events import Events
from app.sinks.base import SinkRunner
from app.sinks.webhooks import WebhooksSink
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.people import Person
from tests.support.servers.attempts import run_attempt
from tests.support.servers.databases import ROOT

PAGE = ROOT / "docs" / "contributing" / "architecture.md"
SECTION = re.compile(r"^## The way of one submission\n(.*?)^## ", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`((?:app|tasks|sdk)/[\w/]+\.py)`")
# They have their part in other threads and processes than the test's: gunicorn's, the publisher's and the worker's.
ELSEWHERE = {
    "app/messaging/confirmations.py",
    "app/messaging/publisher.py",
    "app/server/answering.py",
    "app/server/worker.py",
    "app/worker/__init__.py",
}


def section() -> str:
    """The page's section about the way."""
    [text] = SECTION.findall(PAGE.read_text(encoding="utf-8"))
    return text


def files_on_the_page() -> set[str]:
    """The files that the section names."""
    return set(FILE.findall(section()))


@contextmanager
def traced(files: set[str]) -> Iterator[None]:
    """Add the files of the service that have a function called meanwhile, in this thread."""
    seen: set[str] = set()

    def look(frame: FrameType, _event: str, _argument: Any) -> None:
        seen.add(frame.f_code.co_filename)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
    paths = [Path(name).relative_to(ROOT) for name in seen if Path(name).is_relative_to(ROOT)]
    files |= {str(path) for path in paths if path.parts[0] in ("app", "tasks", "sdk")}


def out_to_the_broker(session: Session, task_id: Any) -> None:
    """As if the broker had taken the hint: that of these tests takes none, so that the ledger holds the task."""
    session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": task_id})
    session.commit()


class Silent(ScriptedPublisher):
    """Notifies nobody."""

    def notify(self, _exchange: object, _body: object) -> None:
        pass


@pytest.fixture
def receiver(httpserver: HTTPServer, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A webhook of the client's account that is told of completed tasks."""
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks")
    wanted = {"url": httpserver.url_for("/hook"), "events": ["task.completed"]}
    assert client.post("/api/v1/webhooks", json=wanted).status_code == 201
    return httpserver


@pytest.fixture
def webhooks_sink(engine: sa.Engine) -> Iterator[SinkRunner]:
    """Its runner, begun before anything happened, because it tells of nothing that was there before."""
    runner = SinkRunner(WebhooksSink(), Connection("memory://"), Silent())
    assert runner._take_turn()
    yield runner
    runner._turn.end()


def went_through(admin: Person, application: Any, session: Session, receiver: HTTPServer, sink: SinkRunner) -> set[str]:
    """Submit a task whose completion a webhook is told, do all that follows, and say which files had a part in it."""
    files: set[str] = set()
    client = admin.client(application)
    with traced(files):
        answer = client.post("/api/v1/tasks", json={"type": "reverse_string", "payload": "abc"})
    assert answer.status_code == 201, answer.text
    task_id = UUID(answer.json["id"])
    out_to_the_broker(session, task_id)
    with traced(files):
        run_attempt("reverse_string", task_id)
    events = Events(ScriptedPublisher())
    with traced(files):
        events.run_once(clock.utcnow())
        sink.catch_up()
    events.close()
    delivery = session.scalar(sa.text("SELECT id FROM tasks WHERE type = 'webhook_delivery'"))
    session.commit()
    with traced(files):
        admission = Admission(ScriptedPublisher())
        admission.run_once(clock.utcnow())
    out_to_the_broker(session, delivery)
    with traced(files):
        run_attempt("webhook_delivery", delivery)
    assert [request.path for request, _ in receiver.log] == ["/hook"]
    return files


def test_each_file_on_the_way_of_a_submission_has_a_part_in_it(admin, application, session, receiver, webhooks_sink):
    ran = went_through(admin, application, session, receiver, webhooks_sink)

    assert sorted(files_on_the_page() - ran - ELSEWHERE) == []


def test_the_page_says_how_many_files_are_on_the_way():
    assert f"It names {len(files_on_the_page())} files." in section()


def test_what_has_its_part_elsewhere_is_there():
    assert sorted(name for name in ELSEWHERE if not (ROOT / name).exists()) == []
    assert files_on_the_page() >= ELSEWHERE
