"""Errors: how nested messages become paths, and what each says of its answer."""

import importlib

import pytest

from app.errors import ProblemError, Refused, flatten
from app.services.artifacts import StoreAway


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


def subclasses(kind: type) -> set[type]:
    return {kind for below in kind.__subclasses__() for kind in {below, *subclasses(below)}}


def test_every_problem_says_how_it_is_answered():
    importlib.import_module("app.factory")
    kinds = subclasses(ProblemError) - {Refused} - subclasses(Refused)  # each refusal has a code of its own

    assert len(kinds) > 8
    assert [kind for kind in kinds if not 400 <= kind.status < 600 or not kind.code] == []


def test_what_the_store_says_of_its_addresses_is_not_told():
    error = StoreAway("The store of artifacts failed at s3://internal/7")

    assert "internal" not in error.detail
