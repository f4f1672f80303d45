"""Why a task is WAITING: for what, since when, until when, and what is odd about it."""

from datetime import UTC, datetime, timedelta

import pytest

from app.models import Status, TaskRecord, new_id
from app.services.explain.causes import rank
from app.services.explain.evidence import Evidence
from app.services.signals import Untaken
from app.services.tasks import waits

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def waiting(waits_for, *, columns=None, **fields) -> Evidence:
    """Of a task that has waited for five minutes."""
    empty = dict.fromkeys(TaskRecord.__struct_fields__)
    values = {"id": new_id(), "status": Status.WAITING, "updated_at": NOON - 5 * MINUTE, "waits_for": waits_for}
    task = TaskRecord(**{**empty, **values, **(columns or {})})
    return Evidence(task=task, now=NOON, wait=waits.of(task), **fields)


def test_for_a_signal_it_says_which_since_when_and_how_to_send_it():
    evidence = waiting({"step": "approved", "signal": "approved", "until": (NOON + MINUTE).isoformat()})

    answer = rank(evidence)

    assert answer.cause == "waiting_for_signal"
    assert "the signal approved since 2026-11-28T11:55:00Z (5 min), until 2026-11-28T12:01:00Z" in answer.summary
    assert answer.next_at == NOON + MINUTE
    assert f"POST /api/v1/tasks/{evidence.task.id}/signals/approved" in answer.fix
    assert answer.evidence["waits_for"]["name"] == "approved"


def test_names_that_were_sent_and_that_nobody_waits_for_are_told():
    told = [Untaken(name="aproved", signals=2, first_at=NOON), Untaken(name="approved", signals=1, first_at=NOON)]

    answer = rank(waiting({"step": "approved", "signal": "approved"}, untaken=told))

    assert "Nobody waits for what was sent as aproved." in answer.summary
    assert answer.evidence["untaken_signals"] == {"aproved": 2}


def test_a_signal_to_the_run_is_sent_to_the_run():
    run = new_id()

    answer = rank(waiting({"step": "approved", "signal": "approved", "target": str(run)}))

    assert f"POST /api/v1/runs/{run}/signals/approved" in answer.fix


def test_for_children_it_says_how_many_and_which():
    child = new_id()

    answer = rank(waiting({"step": "render", "children": 7}, children=[child], unended_children=7))

    assert answer.cause == "waiting_for_children"
    assert "7 of its children to end" in answer.summary
    assert answer.evidence["children"] == [str(child)]
    assert f"/api/v1/tasks/{child}/why" in answer.fix


def test_for_a_moment_it_says_when():
    answer = rank(waiting({"step": "sleep", "until": (NOON + MINUTE).isoformat()}))

    assert answer.cause == "sleeping"
    assert answer.next_at == NOON + MINUTE


def test_one_that_is_being_cancelled_says_so_first():
    columns = {"cancel_requested_at": NOON - MINUTE}

    answer = rank(waiting({"step": "render", "children": 1}, columns=columns, unended_children=1))

    assert answer.cause == "cancelling"
    assert "one of its children" in answer.summary
    assert answer.evidence["also"] == ["waiting_for_children"]


@pytest.mark.parametrize("waits_for", [{"signal": "a"}, {"children": 1}, {"until": NOON.isoformat()}])
def test_steps_that_were_not_asked_for_again_are_named(waits_for):
    answer = rank(waiting({"step": "a", "never_asked_for": ["old", "older"], **waits_for}))

    assert "did not ask again for what it remembers as old, older" in answer.summary
    assert answer.evidence["never_asked_for"] == ["old", "older"]


def test_one_that_says_nothing_is_told_from_the_rest():
    assert rank(waiting(None)).cause == "waiting"
