"""The heartbeat's decisions that need no database: limits and stops."""

import time

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.services.tasks.task_log import LINES_OF_ATTEMPT, LogLine
from app.worker.heartbeat import Heartbeat
from app.worker.in_progress import HintInProgress, InProgressRegistry, Running
from taskledger_sdk.errors import TimeLimitReached
from tests.support.factories import NOON
from tests.unit.app.worker.test_attempt import CLAIM


class RecordingStopper:
    """Keeps what would have been raised in the handler."""

    def __init__(self) -> None:
        self.asked: list[BaseException] = []
        self.interrupts = True
        self.shutting_down = False

    def stop(self, error: BaseException, *, still_wanted) -> None:
        assert still_wanted()
        self.asked.append(error)


@pytest.fixture
def beating(monkeypatch):
    """A heartbeat over a handler that began `seconds` ago with a limit of 10 s and a grace of 5 s."""
    killed = []
    monkeypatch.setattr("app.worker.heartbeat.os.kill", lambda pid, number: killed.append(number))
    stopper = RecordingStopper()

    def begin(seconds, *, asked=None):
        in_progress = InProgressRegistry()
        now = time.monotonic()
        running = Running(claim=replace(CLAIM), timeout_seconds=10, grace_seconds=5, started=now - seconds)
        running.stop_asked = None if asked is None else now - asked
        in_progress.begin(HintInProgress(claims={CLAIM.id: CLAIM}, current=running))
        Heartbeat(in_progress, stopper)._enforce_limits(*in_progress.runs)
        return stopper.asked, killed

    return begin


def test_a_handler_within_its_limit_is_left_alone(beating):
    assert beating(9) == ([], [])


def test_a_handler_past_its_limit_is_asked_to_stop(beating):
    asked, killed = beating(10.1)

    assert [type(error) for error in asked] == [TimeLimitReached]
    assert killed == []


def test_a_handler_is_asked_once(beating):
    assert beating(12, asked=2) == ([], [])


def test_a_handler_that_does_not_stop_within_its_grace_period_ends_with_its_process(beating):
    asked, killed = beating(16, asked=5.1)

    assert asked == []
    assert len(killed) == 1


def test_the_log_of_an_attempt_is_capped():
    running = Running(claim=CLAIM, timeout_seconds=10, grace_seconds=5)

    for _ in range(LINES_OF_ATTEMPT + 50):
        running.write(None)

    assert len(running.log) == LINES_OF_ATTEMPT


def test_a_long_attempt_may_write_a_line_more_for_each_minute():
    running = Running(claim=CLAIM, timeout_seconds=10, grace_seconds=5, started=time.monotonic() - 10 * 60)

    for _ in range(LINES_OF_ATTEMPT + 50):
        running.write(None)

    assert len(running.log) == LINES_OF_ATTEMPT + 10


def test_what_a_lost_connection_kept_from_the_ledger_is_written_by_a_later_beat(monkeypatch):
    heartbeat = Heartbeat(InProgressRegistry(), RecordingStopper())
    written = []
    line = LogLine(task_id=CLAIM.id, attempt=1, at=NOON, message="page 4", fields={})
    heartbeat._unwritten.append(line)
    heartbeat.count("outcomes_dropped", 2)
    heartbeat._passed["tasks", "normal"] = NOON

    def is_away(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("gone"))

    monkeypatch.setattr(heartbeat, "_write", is_away)
    with pytest.raises(sa.exc.OperationalError):
        heartbeat._write_down()
    heartbeat.count("outcomes_dropped", 1)
    monkeypatch.setattr(heartbeat, "_write", lambda *what: written.append(what))
    heartbeat._write_down()

    assert written == [([], [], {("tasks", "normal"): NOON}, [line], {"outcomes_dropped": 3})]


def test_a_fault_of_its_own_does_not_end_the_heartbeat(monkeypatch):
    heartbeat = Heartbeat(InProgressRegistry(), RecordingStopper())

    def breaks():
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(heartbeat, "tick", breaks)

    heartbeat.beat()
