"""Describing what went wrong."""

import pytest

from app.services.recovery.failures import MESSAGE_CHARACTERS, Failure, of_exception, storable


def fingerprint(message: str) -> str:
    return Failure(type="ValueError", message=message).fingerprint


def test_failures_that_differ_only_in_numbers_and_ids_have_one_fingerprint():
    first = fingerprint("row 17 of 01a20187-e99f-7588-b4c3-6d36409e4538 at 0x7f3a is bad")

    assert first == fingerprint("row 4 of 01a20188-e1c0-72d8-aab4-ddab61ba5e79 at 0x1b is bad")


@pytest.mark.parametrize("other", ["column 17 is bad", "row seventeen is bad"])
def test_failures_with_other_words_have_another_fingerprint(other):
    assert fingerprint("row 17 is bad") != fingerprint(other)


def test_the_type_of_the_error_belongs_to_its_fingerprint():
    assert Failure(type="KeyError", message="x").fingerprint != Failure(type="ValueError", message="x").fingerprint


def test_an_exception_is_described_by_its_type_message_and_traceback():
    try:
        raise LookupError("no such city")
    except LookupError as error:
        failure = of_exception(error, scrub=str)

    assert (failure.type, failure.message) == ("LookupError", "no such city")
    assert "no such city" in failure.traceback
    assert "test_failures.py" in failure.traceback


def test_long_messages_are_cut():
    assert len(of_exception(ValueError("x" * 100_000), scrub=str).message) == MESSAGE_CHARACTERS


@pytest.mark.parametrize(("text", "kept"), [("a\x00b", "a\\x00b"), ("\ud800", "\\ud800"), ("Łódź", "Łódź")])
def test_what_postgresql_cannot_keep_is_escaped(text, kept):
    assert storable(text) == kept
