"""What tests of the API share: submitting, and rows in any status."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.database import Session
from app.models import Status, TaskRecord
from app.models.task import RECORD_FIELDS
from tests.support.factories import NOON, make_task

TASKS = "/api/v1/tasks"
Submit = Callable[..., dict[str, Any]]
Store = Callable[..., TaskRecord]


MOMENT_WITH_OFFSET = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d(?::[\d.]+)?\+00:00"')


@pytest.fixture(autouse=True)
def every_moment_ends_in_z(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer of the API in these tests is looked at: one that writes a moment in another way fails its test."""
    plain = FlaskClient.open

    def looked_at(client: FlaskClient, *arguments: Any, **options: Any) -> Any:
        answer = plain(client, *arguments, **options)
        if answer.is_json:
            assert MOMENT_WITH_OFFSET.findall(answer.text) == [], answer.text
        return answer

    monkeypatch.setattr(FlaskClient, "open", looked_at)


@pytest.fixture
def submit(client: FlaskClient) -> Submit:
    """Submit a task; its representation."""

    def submitted(type_: str = "reverse_string", payload: Any = "hello world", **fields: Any) -> dict[str, Any]:
        answer = client.post(TASKS, json={"type": type_, "payload": payload, **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    return submitted


@pytest.fixture
def store(session: Session) -> Store:
    """Put a task into the table, in any status, and commit."""

    def stored(*, status: Status = Status.PENDING, now: datetime = NOON, **columns: Any) -> TaskRecord:
        task = make_task(session, now=now, **_whole(status, now) | columns)
        session.commit()
        return task

    return stored


def _whole(status: Status, now: datetime) -> dict[str, Any]:
    """What a row in this status must have."""
    assert {"lease", "finished_at"} <= set(RECORD_FIELDS)
    if status == Status.PROCESSING:
        return {"status": status, "attempt": 1, "lease": "00000000-0000-4000-8000-000000000001", "leased_by": "w/1"}
    if status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        return {"status": status, "due_at": None, "finished_at": now, "dispatched_at": None}
    return {"status": status, "dispatched_at": now if status == Status.PENDING else None}
