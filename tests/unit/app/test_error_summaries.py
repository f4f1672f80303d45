"""The one sentence of a problem: the first refused fields, by their paths."""

import pytest

from app.errors import summary


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"name": ["Must not be empty."]}, "name must not be empty."),
        ({"_schema": ["must be an object"]}, "Must be an object."),
        ({"payload": {"to": {"0": ["is no address"]}}}, "payload.to.0 is no address."),
        ({"payload": {"_schema": ["A is before B"]}}, "payload a is before B."),
        ({"sort": ["is not known; did you mean start?"]}, "sort is not known; did you mean start?"),
        ({"a": ["is missing"], "b": ["Is odd.", "is long"]}, "a is missing; b is odd; b is long."),
        (
            {name: ["is missing"] for name in "abcde"},
            "a is missing; b is missing; c is missing (and 2 more in errors).",
        ),
    ],
)
def test_the_first_refused_fields_make_one_sentence(errors, said):
    assert summary(errors) == said


def test_it_says_as_many_as_it_is_asked_for():
    assert summary({"a": ["is missing"], "b": ["is missing"]}, max_fields=1) == "a is missing (and 1 more in errors)."
