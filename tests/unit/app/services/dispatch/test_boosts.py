"""When waiting tasks rise."""

from datetime import timedelta

import pytest

from app.services.dispatch.boosts import level, next_boost_at
from tests.support.factories import NOON

AFTER = timedelta(seconds=300)


@pytest.mark.parametrize(
    ("priority", "boosts", "seconds"),
    [("low", 0, 300), ("low", 1, 450), ("low", 2, None), ("normal", 0, 300), ("normal", 1, 450), ("high", 0, None)],
)
def test_a_task_rises_twice_and_a_high_one_never(priority, boosts, seconds):
    expected = None if seconds is None else NOON + timedelta(seconds=seconds)

    assert next_boost_at(priority, boosts, dispatched_at=NOON, after=AFTER) == expected


@pytest.mark.parametrize(
    ("priority", "steps", "expected"),
    [("low", 0, "low"), ("low", 1, "normal"), ("low", 2, "boosted"), ("normal", 1, "high"), ("normal", 2, "boosted")],
)
def test_the_first_step_is_one_level_and_the_second_is_above_all(priority, steps, expected):
    assert level(priority, steps) == expected
