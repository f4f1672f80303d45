"""A worker with the pool solo, which talks to its broker between tasks only."""

from dataclasses import replace

import pytest

from app.config import get_settings
from app.models import Status
from app.worker import executor, identity


@pytest.mark.parametrize(
    ("broker_url", "timeout", "status"),
    [
        ("amqp://one", 1_789, Status.COMPLETED),  # and 10 s of grace
        ("amqp://one", 1_791, Status.FAILED),
        ("redis://one/0", 604_800, Status.COMPLETED),
        ("nats://one/space", 604_800, Status.COMPLETED),
    ],
)
def test_it_refuses_a_task_that_its_broker_would_not_wait_for(broker_url, timeout, status, run, monkeypatch):
    settings = replace(get_settings(), broker_url=broker_url)
    monkeypatch.setattr(executor, "get_settings", lambda: settings)
    monkeypatch.setattr(identity, "_is_solo", True)

    task = run(lambda _task: "done", timeout_seconds=timeout)

    assert task.status == status
    if status == Status.FAILED:
        assert task.error["type"] == "PoolRefused"
        assert "--pool prefork" in task.error["message"]
