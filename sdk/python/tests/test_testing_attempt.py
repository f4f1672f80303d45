"""The attempt of a unit test: what it remembers, what it refuses, and how it stops a handler."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from taskledger_sdk import PermanentError, ShuttingDown, TaskCancelled, TaskContext, TimeLimitReached, task_type
from taskledger_sdk.testing import Attempt

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _child() -> None:
    @task_type("attempt_test.child")
    def child(task: TaskContext, payload: int) -> int:
        """Take a number."""
        return payload


def test_it_has_every_member_of_the_context_that_authors_may_rely_on():
    members = {name for name in vars(TaskContext) if not name.startswith("_")}

    assert members
    assert {name for name in members if not hasattr(Attempt(), name)} == set()


def test_it_remembers_reports_and_lines():
    task = Attempt()

    task.progress(0.5, "half")
    task.progress(7)
    task.log("sent", bytes=5)

    assert task.reported == [(0.5, "half"), (1.0, "")]
    assert task.lines == [("sent", {"bytes": 5})]


def test_a_file_saved_again_under_its_name_replaces_the_first():
    files = Attempt().artifacts

    first = files.save("a.txt", "text/plain", b"one")
    second = files.save("a.txt", "text/plain", b"three")

    assert (second.id, second.size, len(files.files)) == (first.id, 5, 1)
    assert files.content("a.txt") == b"three"
    with files.open(first.id) as stream, files.local_path(first.id) as path:
        assert stream.read() == path.read_bytes() == b"three"


def test_a_file_that_is_not_there_is_refused_as_the_worker_does():
    files = Attempt().artifacts

    for refused in (files.info, files.delete):
        with pytest.raises(PermanentError, match="there is no artifact"):
            refused(uuid4())
    with pytest.raises(KeyError, match="saved was nothing"):
        files.content("a.txt")


def test_a_submission_is_remembered_as_it_was_given():
    task = Attempt(attempt=2)

    made = task.submit("shop.mail", {"to": ("a", "b")}, key="a", priority="low")

    [kept] = task.submitted
    assert (kept.id, kept.type, kept.payload) == (made, "shop.mail", {"to": ["a", "b"]})
    assert (kept.key, kept.now, kept.attempt, kept.options) == ("a", False, 2, {"priority": "low"})


def test_a_key_names_one_child_on_every_attempt():
    task = Attempt()

    first = task.submit("shop.mail", "one", key="a", now=True)
    task.begin_next(is_counted=True)
    second = task.submit("shop.mail", "two", key="a")

    assert (second, len(task.submitted)) == (first, 1)


def test_a_key_used_for_two_tasks_in_one_attempt_is_refused():
    task = Attempt()
    task.submit("shop.mail", "one", key="a")

    with pytest.raises(PermanentError, match="key 'a' names another task of this attempt"):
        task.submit("shop.mail", "two", key="a")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda task: task.submit("other", {}, now=True), "now=True needs a key"),
        (lambda task: task.submit("other", {}, prioritiy="low"), "there is no option prioritiy; known: name, priority"),
        (lambda task: task.submit("other", object()), "payload: is not JSON"),
        (lambda task: task.submit("other", float("nan")), "payload: is not JSON"),
        (lambda task: task.submit("attempt_test.child", "one"), "payload: must be a whole number"),
    ],
)
def test_a_submission_that_the_worker_would_refuse_is_refused(call, said):
    task = Attempt()

    with pytest.raises(PermanentError, match=said):
        call(task)

    assert task.submitted == []


def test_the_deadline_comes_nearer_as_time_passes():
    task = Attempt(timeout_seconds=30, now=lambda: NOON)

    task.pass_time(20)

    assert task.deadline == NOON + timedelta(seconds=10)


def test_the_time_limit_is_raised_once_where_time_passes():
    task = Attempt(timeout_seconds=30)
    task.pass_time(29)

    with pytest.raises(TimeLimitReached):
        task.pass_time(1)
    task.progress(0.9, "cleaning up")
    task.pass_time(5)

    assert task.reported == [(0.9, "cleaning up")]


def test_nothing_stops_a_task_that_nobody_stops():
    task = Attempt()

    task.check_cancelled()
    task.progress(1)
    task.pass_time(299)

    assert task.stopped is None


@pytest.mark.parametrize("why", [TaskCancelled, TimeLimitReached, ShuttingDown])
def test_a_stop_comes_in_the_next_call(why):
    task = Attempt()
    task.stop(why)

    with pytest.raises(why):
        task.progress(0.5)

    assert (task.stopped, task.reported) == (why, [])


def test_a_stop_comes_at_the_check_that_is_named():
    task = Attempt()
    task.stop(TaskCancelled, at_check=3)

    task.check_cancelled()
    task.progress(0.5)
    task.check_cancelled()
    with pytest.raises(TaskCancelled):
        task.check_cancelled()


def test_a_stop_comes_after_the_progress_that_is_named():
    task = Attempt()
    task.stop(ShuttingDown, at_progress=0.5)

    task.progress(0.4)
    with pytest.raises(ShuttingDown):
        task.progress(0.6)

    assert task.reported == [(0.4, ""), (0.6, "")]


def test_a_stop_comes_after_the_time_that_is_named():
    task = Attempt()
    task.stop(TaskCancelled, after_seconds=10)

    task.pass_time(9)
    with pytest.raises(TaskCancelled):
        task.pass_time(1)


@pytest.mark.parametrize("why", [TaskCancelled, ShuttingDown])
def test_who_goes_on_after_a_stop_is_stopped_again(why):
    task = Attempt()
    task.stop(why)

    for call in (task.check_cancelled, lambda: task.progress(1), lambda: task.submit("other", 1)):
        with pytest.raises(why):
            call()


def test_a_stop_has_one_moment():
    with pytest.raises(ValueError, match="give one of at_check, at_checkpoint, at_progress and after_seconds"):
        Attempt().stop(TaskCancelled, at_check=1, at_progress=0.5)


def test_the_next_attempt_of_a_task_has_its_files_and_a_time_of_its_own():
    task = Attempt(timeout_seconds=30)
    task.pass_time(20)
    task.artifacts.save("a.txt", "text/plain", b"one")

    task.begin_next(is_counted=False)
    task.begin_next(is_counted=True)
    task.pass_time(20)

    assert (task.attempt, task.retries_used) == (3, 1)
    assert task.artifacts.content("a.txt") == b"one"
