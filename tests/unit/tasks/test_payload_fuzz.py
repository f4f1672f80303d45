"""Every payload schema, fuzzed: what the published schema says is what is accepted, and nothing breaks the loader."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tasks.errors import PayloadRefused
from tasks.redaction import redacted
from tasks.registry import TaskType, load_types

TYPES = [
    pytest.param(each, id=name) for name, each in load_types().items() if each.handler.__module__.startswith("tasks.")
]
relaxed = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def faults(task_type: TaskType, value: Any) -> dict[str, Any]:
    try:
        task_type.payload.load(value)
    except PayloadRefused as refusal:
        return refusal.errors
    return {}


def paths(errors: Any, last: str = "") -> set[str]:
    """The last name on the way to every message."""
    if isinstance(errors, dict):
        return set().union(*(paths(below, name) for name, below in errors.items()))
    return {last}


def payloads(task_type: TaskType, mode: GenerationMode) -> st.SearchStrategy:
    content = {"application/json": {"schema": task_type.payload.json_schema()}}
    answers = {"200": {"description": "accepted"}}
    operation = {"post": {"requestBody": {"required": True, "content": content}, "responses": answers}}
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/tasks": operation}}
    bodies = schemathesis.openapi.from_dict(document)["/tasks"]["POST"].as_strategy(generation_mode=mode)
    return bodies.map(lambda case: case.body)


@pytest.mark.parametrize("task_type", TYPES)
def test_a_payload_that_the_schema_describes_is_accepted(task_type):
    @relaxed
    @given(payloads(task_type, GenerationMode.POSITIVE))
    def holds(value):
        # A rule across fields, which JSON Schema cannot say, is named _schema.
        assert paths(faults(task_type, value)) <= {"_schema"}

    holds()


@pytest.mark.parametrize("task_type", TYPES)
def test_a_payload_that_the_schema_excludes_is_refused(task_type):
    @relaxed
    @given(payloads(task_type, GenerationMode.NEGATIVE))
    def holds(value):
        assert faults(task_type, value)

    holds()


@pytest.mark.parametrize("task_type", TYPES)
def test_no_payload_breaks_the_loader_or_the_redaction(task_type):
    named = st.dictionaries(
        st.sampled_from(sorted(task_type.payload.json_schema().get("properties", {"x": 1}))), any_json
    )

    @relaxed
    @given(any_json | named)
    def holds(value):
        faults(task_type, value)
        redacted(task_type.name, value)

    holds()


@pytest.mark.parametrize("task_type", TYPES)
def test_its_examples_are_shown_as_they_are(task_type):
    assert task_type.examples
    assert all(redacted(task_type.name, example) == example for example in task_type.examples)
