"""When waiting tasks rise."""

from datetime import timedelta

import pytest

from app.services.dispatch.aging import level, next_step_at
from tests.support.factories import NOON

AFTER = timedelta(seconds=300)


@pytest.mark.parametrize(
    ("priority", "aged", "seconds"),
    [("low", 0, 300), ("low", 1, 450), ("low", 2, None), ("normal", 0, 300), ("normal", 1, 450), ("high", 0, None)],
)
def test_a_task_rises_twice_and_a_high_one_never(priority, aged, seconds):
    expected = None if seconds is None else NOON + timedelta(seconds=seconds)

    assert next_step_at(priority, aged, dispatched_at=NOON, after=AFTER) == expected


@pytest.mark.parametrize(
    ("priority", "steps", "expected"),
    [("low", 0, "low"), ("low", 1, "normal"), ("low", 2, "risen"), ("normal", 1, "high"), ("normal", 2, "risen")],
)
def test_the_first_step_is_one_level_and_the_second_is_above_all(priority, steps, expected):
    assert level(priority, steps) == expected
