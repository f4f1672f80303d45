"""The form of a type says what its tasks get from it."""

import pytest

from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import load_types


@pytest.fixture(autouse=True)
def bill(monkeypatch):
    """A type that declares something, known as long as the test runs."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("bill", ordering_key="c:{payload}", rate="5/s", concurrency=3, labels={"team": "billing"})
    def bill(task: TaskContext, payload: str) -> None:
        """Bill somebody."""


def test_the_form_shows_what_the_type_declares(page):
    text = page.get("/submit/bill").text

    for words in ("Ordering key", "c:{payload}", "5/s", "3 at once", "team: billing"):
        assert words in text, words


def test_a_type_that_declares_nothing_says_nothing(page):
    assert "Ordering key" not in page.get("/submit/reverse_string").text
