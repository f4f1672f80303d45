"""Cells of CSV files: what a value looks like, and what no spreadsheet takes for a formula."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.services.export.csv_cells import FORMULA_BEGINNINGS, cell, harmless

ID = UUID("018f3c5e-7d2a-7000-8000-0123456789ab")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-5, "-5"),
        (0.1, "0.1"),
        ("word", "word"),
        ("two words", "two words"),
        (ID, str(ID)),
        (datetime(2026, 1, 31, 9, tzinfo=UTC), "2026-01-31T09:00:00Z"),
        ([1, "ä"], '[1,"ä"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_a_value_is_written_as_people_read_it(value, text):
    assert cell(value) == text


@pytest.mark.parametrize("beginning", FORMULA_BEGINNINGS)
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(beginning):
    assert cell(f"{beginning}1+1").startswith("'")
    assert cell(f"  {beginning}1+1").startswith("'")


@pytest.mark.parametrize("text", ["a=b", "1-2", "3 + 4", "x@y.example"])
def test_a_text_that_holds_such_a_character_further_on_stays_as_it_is(text):
    assert harmless(text) == text


def test_what_ends_lines_or_texts_early_is_taken_out():
    assert harmless("a\r\nb\rc\x00d") == "a\nb\ncd"
