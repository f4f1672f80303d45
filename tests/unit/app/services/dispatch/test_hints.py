"""Which hints are lost, and when to look again: arithmetic on moments."""

from datetime import timedelta

import pytest

from app.models import new_id
from app.services.dispatch.hints import Unclaimed, is_lost
from app.services.lifecycle import Waiting
from tests.support.factories import NOON, seconds

AGING = timedelta(seconds=300)


def unclaimed(*, priority: str = "normal", boosts: int = 0) -> Unclaimed:
    hint = Waiting(
        id=new_id(), type="reverse_string", queue="tasks", priority=priority, timeout_seconds=None, unchunked=False
    )
    return Unclaimed(hint=hint, dispatched_at=NOON, boosts=boosts)


@pytest.mark.parametrize(
    ("empty_after", "expected"), [(None, False), (4, False), (5, False), (5.001, True), (600, True)]
)
def test_a_hint_is_lost_when_its_queue_was_seen_empty_well_after_it_went_out(empty_after, expected):
    empty_at = {} if empty_after is None else {"tasks": NOON + seconds(empty_after)}

    assert is_lost(unclaimed(), empty_at=empty_at, passed={}) is expected


@pytest.mark.parametrize(("passed_after", "expected"), [(5, False), (5.001, True)])
def test_a_hint_is_lost_when_a_worker_has_claimed_one_that_went_out_well_after_it(passed_after, expected):
    passed = {("tasks", "normal"): NOON + seconds(passed_after)}

    assert is_lost(unclaimed(), empty_at={}, passed=passed) is expected


def test_other_queues_and_priorities_say_nothing_about_a_hint():
    later = NOON + seconds(600)

    assert not is_lost(
        unclaimed(), empty_at={"slow": later}, passed={("tasks", "high"): later, ("slow", "normal"): later}
    )


@pytest.mark.parametrize(("waited", "pause"), [(1, 5), (5, 5), (20, 20), (599, 599), (3600, 600)])
def test_a_hint_that_only_waits_is_looked_at_after_as_long_as_it_has_waited(waited, pause):
    now = NOON + seconds(waited)

    assert unclaimed(priority="high").next_look(after=AGING, now=now) == now + seconds(pause)


def test_a_waiting_hint_is_looked_at_when_its_task_is_to_rise():
    assert unclaimed(priority="low").next_look(after=AGING, now=NOON + seconds(200)) == NOON + AGING


@pytest.mark.parametrize(("waited", "boosts"), [(299, 0), (300, 1), (449, 1), (450, 2), (3600, 2)])
def test_a_task_that_is_looked_at_late_takes_all_steps_that_are_due(waited, boosts):
    assert unclaimed(priority="low").boosted(after=AGING, now=NOON + seconds(waited)).boosts == boosts
