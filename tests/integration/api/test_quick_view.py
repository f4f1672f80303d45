"""Tasks are shown as their schema declares them, although marshmallow is not asked for each field."""

import json
from datetime import timedelta
from typing import Any

import marshmallow as ma
import pytest
from flask import Flask, current_app

from app.models import Status
from app.web.schemas.tasks import TaskView
from tests.integration.api.conftest import Store
from tests.support.factories import NOON

KINDS: tuple[dict[str, Any], ...] = (
    {},
    {
        "name": "Ünïcödé",
        "labels": {"team": "billing"},
        "timeout_seconds": 9,
        "owner_id": "00000000-0000-4000-8000-00000000000a",
    },
    {"status": Status.PROCESSING, "started_at": NOON + timedelta(microseconds=120), "progress": {"fraction": 0.5}},
    {"status": Status.COMPLETED, "result": {"a": [1, None]}},
    {"status": Status.FAILED, "error": {"type": "E", "message": "m", "traceback": "secret"}, "reason": "spent"},
    {"type": "send_email", "payload": {"to": "a@example.com", "subject": "s"}},
)


@pytest.mark.parametrize("columns", KINDS)
def test_a_task_is_dumped_as_marshmallow_would(application: Flask, store: Store, columns: dict[str, Any]):
    task, view = store(**columns), TaskView()

    with application.test_request_context():
        assert answered(view.dump(task)) == ma.Schema.dump(view, task)
        assert answered(view.dump([task], many=True)) == ma.Schema.dump(view, [task], many=True)


def answered(view: Any) -> Any:
    """As a client reads it."""
    return json.loads(current_app.json.dumps(view))
