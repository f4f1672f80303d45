"""The payload types of our own task types: source that compiles and stays as it is, and takes their examples."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from taskledger_sdk.client.options import as_json
from taskledger_sdk.payload_types import source
from taskledger_sdk.registry import get_type, load_types
from taskledger_sdk.typed_payloads import TypedPayload, ValuePayload
from tests.unit.tasks.test_json_schema import SPECS

TYPES = [each for each in load_types().values() if not each.internal]
SHOWN = [
    {
        "name": each.name,
        "schema_hash": each.schema_hash,
        "summary": each.summary,
        "description": each.description,
        "payload": each.payload.json_schema(),
    }
    for each in TYPES
]
EVERYTHING = {
    "name": "everything",
    "schema_hash": "0",
    "summary": "",
    "description": "",
    "payload": SPECS["everything"].json_schema(),
}
EXAMPLES = [(each.name, example) for each in TYPES for example in each.examples]


@cache
def module() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source([*SHOWN, EVERYTHING], "python"), "generated.py", "exec"), names)
    return names


def classes_of(name: str) -> list[type[TypedPayload]]:
    made = (each for each in module().values() if isinstance(each, type) and issubclass(each, TypedPayload))
    return [each for each in made if getattr(each, "TASK_TYPE", None) == name]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown["name"])
def test_each_type_has_classes_of_its_own(shown):
    classes = classes_of(shown["name"])

    assert classes
    assert {each.SCHEMA_HASH for each in classes} == {shown["schema_hash"]}
    assert f"  {json.dumps(shown['name'])}: " in source(SHOWN, "typescript")


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_the_classes_take_the_examples_and_send_what_the_type_accepts(name, example):
    classes = classes_of(name)
    if issubclass(classes[0], ValuePayload):
        made = classes[0](example)
    else:
        [fitting] = [
            each for each in classes if all(example.get(tag, value) == value for tag, value in tags_of(each).items())
        ]
        made = fitting(**example)

    sent = json.loads(as_json(made))

    assert sent == example
    assert get_type(name).payload.faults(sent) == []


def tags_of(made: type[TypedPayload]) -> dict[str, str]:
    return {name: value for name, value in vars(made).items() if isinstance(value, str) and name.islower()}


def test_every_annotation_of_a_payload_has_a_type():
    """Nothing but what accepts everything is Any."""
    text = source([*SHOWN, EVERYTHING], "python")

    assert "# Any:" not in text
    for expected in (
        "    lines: list[EverythingLinesItem]",
        "    steps: list[EverythingStepsItemKeep | EverythingStepsItemHead] | Unset = UNSET",
        '    size: Literal["s", "l"] | None | Unset = UNSET',
        '    mixed: Literal[1, "x", True] | None | Unset = UNSET',
        "    headers: Mapping[str, str] | None | Unset = UNSET",
        "    day: dt.date | None | Unset = UNSET",
        "    moment: dt.datetime | None | Unset = UNSET",
        "    token: UUID | None | Unset = UNSET",
        "    debt: Decimal | Unset = UNSET",
        "    line: EverythingLine | None | Unset = UNSET",
        "    step: EverythingStepKeep | EverythingStepHead | None | Unset = UNSET",
        "    price: Decimal",
    ):
        assert f"{expected}\n" in text


@pytest.mark.parametrize("settings", ["line-length = 88", "line-length = 120", "format.quote-style = 'single'"])
def test_a_formatter_changes_nothing_whatever_its_settings(settings, tmp_path):
    path = tmp_path / "payloads.py"
    text = source([*SHOWN, EVERYTHING], "python")
    path.write_text(text, encoding="utf-8")

    for command in (["format", "--isolated", "--config", settings], ["check", "--isolated"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", path], check=True, timeout=100)

    assert path.read_text(encoding="utf-8") == text
