"""Templates of steps against the schemas of a new release: only what no reference can mend is told."""

import pytest

from app.services.releases.json_schema import BadSchema, Schema
from app.services.releases.templates import faults_of
from taskledger_sdk.workflows.payloads import of_input

SCHEMA = Schema(
    {
        "type": "object",
        "properties": {
            "size": {"enum": ["s", "m"]},
            "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}, "minItems": 1},
            "either": {"anyOf": [{"const": ["a"]}, {"type": "integer"}]},
        },
        "required": ["size"],
        "additionalProperties": False,
    }
)
LATER = {"$from": "steps.a.result"}


@pytest.mark.parametrize(
    ("template", "places"),
    [
        ({"size": "s"}, []),
        ({"size": "xl"}, [("size",)]),
        ({"size": LATER}, []),
        (LATER, []),
        ({"lines": [LATER]}, [()]),
        ({"size": "s", "lines": [LATER, {}]}, [("lines", "1")]),
        ({"size": "s", "lines": []}, [("lines",)]),
        ({"size": "s", "extra": LATER}, [()]),
        ({"size": "s", "either": [LATER]}, []),
        ({"size": "s", "either": "text"}, [("either",)]),
        ({"size": {"$text": ["x", LATER]}}, []),
        ({"size": {"$literal": {"$from": "x"}}}, [("size",)]),
        ({"size": {"$from": "input.size"}}, [("size",)]),
        ({"size": {"$from": "input.nothing"}}, []),
    ],
)
def test_what_stands_there_is_judged_and_what_comes_later_is_not(template, places):
    found = faults_of(SCHEMA, template, known=of_input({"size": "xl"}))

    assert [fault.path for fault in found] == places


def test_without_an_input_its_references_come_later_too():
    assert faults_of(SCHEMA, {"size": {"$from": "input.size"}}) == []


def test_a_message_names_what_is_allowed_and_no_value():
    [fault] = SCHEMA.faults({"size": "a-secret"})

    assert ('"s" or "m"' in fault.message, "a-secret" in fault.message) == (True, False)


@pytest.mark.parametrize("schema", [{"type": 5}, {"$ref": "https://example.com/schema.json"}, 5, None])
def test_what_is_no_schema_says_so(schema):
    with pytest.raises(BadSchema, match="is no JSON Schema that can be used"):
        Schema(schema)
