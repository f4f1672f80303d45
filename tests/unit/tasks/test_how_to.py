"""docs/how-to/add-a-task-type.md is true: its file, dropped into tasks/handlers/, is all that a new type needs."""

import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import tasks.handlers
from taskledger_sdk import PermanentError, packages, registry
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import Options, TaskType, get_type, load_types

PAGE = (Path(__file__).parents[3] / "docs/how-to/add-a-task-type.md").read_text()


class Quiet:
    """A TaskContext that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def progress(self, fraction: float, message: str = "") -> None:
        """Keep how far the task is."""
        self.told.append(fraction)


@pytest.fixture
def count_words(tmp_path, monkeypatch) -> TaskType:
    """The type of the page, found as any file in tasks/handlers/ is found."""
    name, source = re.search(r"`tasks/handlers/(\w+)\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL).groups()
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)
    monkeypatch.setattr(packages, "_loaded", False)
    monkeypatch.setattr(tasks.handlers, "__path__", [*tasks.handlers.__path__, str(tmp_path)])
    yield get_type(name)
    sys.modules.pop(f"tasks.handlers.{name}")


def submission() -> dict:
    """The body that the page sends with curl."""
    return json.loads(re.search(r"-d '(.*?)'", PAGE).group(1))


def test_the_submission_on_the_page_has_the_result_on_the_page(count_words):
    sent = submission()
    result = get_type(sent["type"]).handler(Quiet(), count_words.payload.load(sent["payload"]))

    assert result == json.loads(re.search(r"result is `(.*?)`", PAGE).group(1))


def test_the_type_on_the_page_runs_its_own_examples(count_words):
    task = Quiet()
    results = [count_words.handler(task, count_words.payload.load(example)) for example in count_words.examples]

    assert (results, task.told) == ([{"to": 2, "be": 2}], [0.5])


def test_the_type_on_the_page_refuses_what_its_rules_refuse(count_words):
    with pytest.raises(PayloadRefused) as refused:
        count_words.payload.load({"text": "a", "top": 0, "ignored": []})

    assert set(refused.value.errors["payload"]) == {"top", "ignored"}


def test_the_handler_on_the_page_fails_for_good_where_it_says_so(count_words):
    with pytest.raises(PermanentError):
        count_words.handler(Quiet(), count_words.payload.load({"text": "…"}))


def test_the_page_explains_every_option():
    table = PAGE.split("## The options")[1].split("## The handler")[0]

    assert [option for option in Options.__annotations__ if f"`{option}`" not in table] == []


def test_the_page_names_the_defaults_that_hold():
    table = PAGE.split("## The options")[1].split("## The handler")[0]
    defaults = {field.name: field.default for field in fields(TaskType)}

    for option in ("timeout_seconds", "grace_seconds", "queue"):
        assert re.search(rf"\| `{option}` \| `?{defaults[option]}`? \|", table), option
