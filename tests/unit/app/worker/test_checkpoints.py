"""What an attempt keeps of its checkpoints until they are written."""

import pytest

from app.services.lifecycle import INTERRUPTED
from app.services.tasks.outcomes import Completed, GivenBack, Retrying
from app.worker import attempt, checkpoints
from app.worker.checkpoints import PAUSE_SECONDS, AttemptCheckpoints, Pending
from app.worker.in_progress import Running
from taskledger_sdk.errors import PermanentError
from taskledger_sdk.registry import get_type
from tests.unit.app.worker.test_attempt import CLAIM


@pytest.fixture
def at(monkeypatch):
    """Set the steady clock."""

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(checkpoints.time, "monotonic", lambda: seconds)

    set_to(1000.0)
    return set_to


def running() -> Running:
    return Running(claim=CLAIM, timeout_seconds=30, grace_seconds=5)


def test_the_first_is_due_at_once_and_the_next_after_a_pause(at):
    pending = Pending()

    pending.keep("1")
    assert pending.is_due()
    pending.note_written("1")
    pending.keep("2")
    assert not pending.is_due()
    at(1000 + PAUSE_SECONDS)
    assert pending.is_due()


def test_a_newer_value_stays_when_an_older_one_was_written():
    pending, older, newer = Pending(), "[1]", "[2]"
    pending.keep(older)
    pending.keep(newer)

    pending.note_written(older)

    assert pending.text == newer


@pytest.mark.parametrize("value", ["x" * 64 * 1024, float("nan"), {1, 2}, "a\x00b", "\ud800"])
def test_a_value_that_cannot_be_kept_is_refused(value):
    kept = AttemptCheckpoints(CLAIM, Pending(), is_sensitive=False)

    with pytest.raises(PermanentError, match=r"task\.checkpoint\(\) was given"):
        kept.keep(value)


def test_an_outcome_takes_along_what_is_not_written_yet():
    held = running()
    held.checkpoint.keep("7")
    lost = attempt.after_failure(get_type("reverse_string"), CLAIM, LookupError("no"))

    assert isinstance(lost, Retrying)
    assert attempt.with_checkpoint(held, lost).checkpoint == "7"
    assert attempt.with_checkpoint(held, Completed(result=1)) == Completed(result=1)


def test_an_interruption_with_a_checkpoint_is_not_one_of_those_that_are_counted():
    without, held = running(), running()
    held.checkpoint.keep("7")

    kind = get_type("reverse_string")
    assert attempt.interrupted(kind, without, "is shutting down").reason.startswith(INTERRUPTED)
    outcome = attempt.interrupted(kind, held, "is shutting down")
    assert outcome == GivenBack(reason="given back with its checkpoint: its worker is shutting down")
    assert not outcome.reason.startswith(INTERRUPTED)
