"""Every payload schema, fuzzed: what it accepts is what is loaded, and nothing breaks the loader or the mask."""

import copy
import json
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import TaskType, load_types
from tasks.masking import masked

TYPES = [
    pytest.param(each, id=name)
    for name, each in load_types().items()
    if each.handler.__module__ == f"tasks.handlers.{name}" and isinstance(each.examples[0], dict)
]
relaxed = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
hostile = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "a\r\nB: c",
        "\u2028",
        "-1",
        "1e3",
        "0" * 400,
        "../..",
        "http://127.0.0.1",
        "2026-02-30",
        -1,
        0,
        2**70,
    ]
)


def faults(task_type: TaskType, value: Any) -> dict[str, Any]:
    try:
        task_type.payload.load(value)
    except PayloadRefused as refusal:
        return refusal.errors
    return {}


def last_names(errors: Any, last: str = "") -> set[str]:
    """The last name on the way to every message; a rule across fields, which JSON Schema cannot say, is _schema."""
    if isinstance(errors, dict):
        return set().union(*(last_names(below, name) for name, below in errors.items()))
    return {last}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, below in inner for place in places(below, (*path, key)))]


@st.composite
def nearly_valid(draw: st.DrawFn, examples: tuple[Any, ...]) -> Any:
    """An example in which one value, or a few, are others, are missing or have company."""
    value = copy.deepcopy(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(value)[1:] or [()]))
        if not path:
            return draw(any_json)
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        if draw(st.integers(0, 5)) == 0:
            del parent[path[-1]]
        elif isinstance(parent, dict) and draw(st.integers(0, 5)) == 0:
            parent[draw(st.text(max_size=8))] = draw(any_json)
        else:
            parent[path[-1]] = draw(hostile | any_json)
    return value


@pytest.mark.slow
@pytest.mark.parametrize("task_type", TYPES)
def test_the_schema_and_the_loader_accept_the_same(task_type):
    schema = jsonschema_rs.validator_for(task_type.payload.json_schema(), validate_formats=True)

    @settings(relaxed, max_examples=300)
    @given(nearly_valid(task_type.examples))
    def holds(value):
        found = faults(task_type, value)
        assume("NUL" not in str(found))  # anywhere inside a value that may be any JSON, no schema can forbid it
        is_across_fields = last_names(found) == {"_schema"} and "must be an object" not in str(found)
        assert schema.is_valid(value) == (not found or is_across_fields), found

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("task_type", [each for each in TYPES if each.id != "generate_pdf"])
def test_what_a_client_makes_of_the_schema_is_accepted(task_type):
    """Except for generate_pdf, whose invoices are so large that making one up takes seconds."""
    content = {"application/json": {"schema": task_type.payload.json_schema()}}
    operation = {
        "post": {"requestBody": {"required": True, "content": content}, "responses": {"200": {"description": ""}}}
    }
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/tasks": operation}}
    bodies = schemathesis.openapi.from_dict(document)["/tasks"]["POST"].as_strategy(
        generation_mode=GenerationMode.POSITIVE
    )

    @settings(relaxed, max_examples=15)
    @given(bodies)
    def holds(case):
        assume("\\u0000" not in json.dumps(case.body))  # JSON Schema cannot forbid NUL anywhere in free JSON
        assert last_names(faults(task_type, case.body)) <= {"_schema"}

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("task_type", TYPES)
def test_no_payload_breaks_the_loader_or_the_mask(task_type):
    names = sorted(task_type.payload.json_schema().get("properties", {"template": 1, "data": 1}))

    @settings(relaxed, max_examples=60)
    @given(any_json | st.dictionaries(st.sampled_from(names), any_json | hostile))
    def holds(value):
        faults(task_type, value)
        masked(task_type.name, value)

    holds()


@pytest.mark.parametrize("task_type", TYPES)
def test_its_examples_are_shown_as_they_are(task_type):
    assert all(masked(task_type.name, example) == example for example in task_type.examples)
