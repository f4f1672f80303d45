"""What a handler is told about its attempt."""

import time
from datetime import timedelta

from app.clock import utcnow
from app.worker.context import AttemptContext
from app.worker.in_progress import Running
from taskledger_sdk.registry import get_type
from tests.unit.app.worker.test_attempt import CLAIM


def test_the_deadline_is_when_its_limit_is_reached():
    running = Running(claim=CLAIM, timeout_seconds=30, grace_seconds=5, started=time.monotonic() - 10)

    left = AttemptContext(get_type("reverse_string"), running).deadline - utcnow()

    assert timedelta(seconds=19.9) < left <= timedelta(seconds=20)
