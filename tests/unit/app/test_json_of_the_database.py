"""JSON that PostgreSQL holds: what is read, on every Python that we run on."""

import pytest

from app.database import MAX_LEVELS, Unreadable, from_json


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    [nested(MAX_LEVELS), "[" + ",".join(["{}"] * 5_000) + "]", '{"a": "' + "[" * 5_000 + '"}'],
    ids=["levels", "many", "text"],
)
def test_what_our_own_code_can_walk_through_is_read(text):
    assert not isinstance(from_json(text), Unreadable)


@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 3_000, 50_000])
def test_deeper_values_are_shown_as_unreadable_whatever_python_makes_of_them(levels):
    assert isinstance(from_json(nested(levels)), Unreadable)
