"""Errors: how nested messages become paths."""

import pytest

from app.errors import Refused, flatten


@pytest.mark.parametrize(
    ("errors", "pairs"),
    [
        ({}, []),
        ({"name": ["is long"]}, [("name", "is long")]),
        ({"payload": {"to": {"0": ["is no address"]}}}, [("payload.to.0", "is no address")]),
        ({"_schema": ["must be an object"]}, [("", "must be an object")]),
        ({"payload": {"_schema": ["must be an object"]}}, [("payload", "must be an object")]),
        ({"a": ["x", "y"], "b": "z"}, [("a", "x"), ("a", "y"), ("b", "z")]),
    ],
)
def test_messages_are_named_by_their_path(errors: dict[str, object], pairs: list[tuple[str, str]]):
    assert flatten(errors) == pairs


def test_a_refusal_says_what_was_refused():
    assert str(Refused({"timeout": ["must be from 1 to 5"]})) == "timeout: must be from 1 to 5"
