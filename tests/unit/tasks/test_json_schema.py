"""The JSON Schema of a payload: what it says, and that it and `load` accept the same."""

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema_rs
import pytest
import schemathesis
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow.validate import Email, Length, NoneOf, Range, Regexp
from schemathesis import GenerationMode

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.payload import PayloadSpec, Places, rule
from taskledger_sdk.registry import get_type


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line."""

    text: str = rule(Length(min=1, max=20), description="What is charged", examples=("Coffee",))
    price: Decimal = rule(Places(2), Range(min=0), examples=("12.50",))
    sku: Annotated[str, rule(Regexp("^[A-Z]{2}-[0-9]+$"))] | None = None


@dataclass(frozen=True, kw_only=True)
class Keep:
    operation: Literal["keep"]
    columns: tuple[Annotated[str, rule(Length(max=5))], ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    operation: Literal["head"]
    rows: int = rule(Range(min=1, max=1000), default=10)


@dataclass(frozen=True, kw_only=True)
class Everything:
    to: str = rule(Email())
    lines: list[Line] = rule(Length(min=1, max=3))
    steps: list[Keep | Head] = rule(default_factory=list)
    size: Size | None = None
    mixed: Literal[1, "x", True] | None = None
    ratio: float = rule(Range(min=0, min_inclusive=False), default=1.5)
    free_number: float = 0.0
    count: int = 0
    flag: bool = False
    headers: dict[str, str] | None = rule(Length(max=2), default=None)
    word: Annotated[str, rule(Regexp(r"[^ ]+"), NoneOf(["root"]))] | None = None
    day: dt.date | None = None
    moment: dt.datetime | None = None
    token: UUID | None = None
    debt: Decimal = Decimal("-1.5")
    line: Line | None = None
    step: Keep | Head | None = None


SPECS = {
    "reverse_string": get_type("reverse_string").payload,
    "fibonacci_calc": get_type("fibonacci_calc").payload,
    "everything": PayloadSpec.of(Everything),
}
relaxed = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def accepts(spec: PayloadSpec, value: Any) -> bool:
    try:
        spec.load(value)
    except PayloadRefused:
        return False
    return True


def payloads(spec: PayloadSpec, mode: GenerationMode) -> st.SearchStrategy:
    """What schemathesis sends as a body that must be accepted, or refused, by the schema."""
    content = {"application/json": {"schema": spec.json_schema()}}
    answers = {"200": {"description": "accepted"}}
    operation = {"post": {"requestBody": {"required": True, "content": content}, "responses": answers}}
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/tasks": operation}}
    bodies = schemathesis.openapi.from_dict(document)["/tasks"]["POST"].as_strategy(generation_mode=mode)
    return bodies.map(lambda case: case.body)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_whatever_the_schema_accepts_is_loaded(name):
    spec = SPECS[name]

    @relaxed
    @given(payloads(spec, GenerationMode.POSITIVE))
    def holds(value):
        spec.load(value)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_whatever_the_schema_refuses_is_refused(name):
    spec = SPECS[name]

    @relaxed
    @given(payloads(spec, GenerationMode.NEGATIVE))
    def holds(value):
        assert not accepts(spec, value)

    holds()


@pytest.mark.parametrize("name", SPECS)
def test_load_raises_nothing_but_a_refusal(name):
    @relaxed
    @given(any_json | st.binary() | st.dictionaries(st.sampled_from(list(Everything.__annotations__)), any_json))
    def holds(value):
        accepts(SPECS[name], value)

    holds()


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["", "a\x00", "a\n", None, 1]),
        (int, [0, -1, 1.0, 1.5, True, "1", None, 10**30]),
        (float, [0, 1.5, True, "1", 1.7976931348623157e308]),
        (Annotated[float, rule(Range(min=1, min_inclusive=False, max=2))], [1, 1.5, 2, 2.1]),
        (Annotated[int, rule(Range(max=2, max_inclusive=False))], [1, 2, -(10**20)]),
        (Literal["a", 1, True], ["a", 1, 1.0, True, False, 0, None]),
        (Literal["a", "b"] | None, ["a", None, "c"]),
        (Size | None, ["s", None, "SMALL"]),
        (Annotated[str, rule(Regexp("a|bc"))], ["a", "bc", "ac", "abc"]),
        (Annotated[str, rule(Regexp(r"[^ ]*"))], ["a", "", "a b", "a\x00"]),
        (Annotated[str, rule(Regexp(r"\d\$"))] | None, ["1$", "1", None, 1]),
        (Annotated[str, rule(NoneOf(["root"]))], ["root", "user"]),
        (Annotated[str, rule(Length(equal=2))], ["a", "ab", "😀😀", "abc"]),
        (Annotated[dict[str, int], rule(Length(min=1, max=2))], [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, []]),
        (dict[str, str] | None, [None, {}, {"a\x00": "b"}, {"a": "\x00"}, []]),
        (dict[Annotated[str, rule(Regexp("[a-z]+"))], Any], [{"a": None}, {"A": None}]),
        (Annotated[list[int], rule(Length(equal=1))], [[], [1], [1, 2], None]),
        (Decimal, ["1", "-1.5", "1.", ".5", "01", "1e3", 1, "1.0000000001", "999999999999999999", "9" * 19]),
        (Annotated[Decimal, rule(Places(2), Range(min=0))], ["1.25", "1.255", "-1", "0"]),
        (Annotated[Decimal, rule(Places(0))] | None, ["1", "1.0", None]),
        (dt.date, ["2024-02-29", "2023-02-29", "20240101", "2024-1-1"]),
        (dt.datetime, ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00", "2024-01-01", "2024-01-01T00:00:00.1+05:30"]),
        (UUID, ["018f3c5e-7d2a-7000-8000-0123456789ab", "018f3c5e7d2a700080000123456789ab", 1]),
        (Keep | Head, [{"operation": "head"}, {"operation": "keep"}, {"operation": "x"}, {}, None, []]),
        (Keep | Head | None, [{"operation": "keep", "columns": []}, None, {"operation": "head", "columns": []}]),
        (Line | None, [None, {"text": "x", "price": "1"}, {"text": "x", "price": "1", "sku": None}, {}, []]),
        (Any, [None, 1, "x", [], {}]),
    ],
)
def test_the_schema_and_load_agree_at_every_border(annotation, values):
    spec = PayloadSpec.of(annotation)
    schema = jsonschema_rs.validator_for(spec.json_schema(), validate_formats=True)

    assert [accepts(spec, value) for value in values] == [schema.is_valid(value) for value in values]


def test_the_schema_is_complete_in_itself():
    assert "$ref" not in str(SPECS["everything"].json_schema())


def test_the_schema_of_a_scalar_reads_well():
    assert get_type("fibonacci_calc").payload.json_schema() == {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000,
        "description": "Which number, from 0",
        "examples": [10],
    }


def test_the_schema_of_a_dataclass_carries_descriptions_examples_and_defaults():
    line = PayloadSpec.of(Line, examples=({"text": "Tea", "price": "2"},)).json_schema()

    assert line["examples"] == [{"text": "Tea", "price": "2"}]
    assert line["required"] == ["price", "text"]
    assert line["properties"]["text"]["description"] == "What is charged"
    assert line["properties"]["text"]["examples"] == ["Coffee"]
    assert line["properties"]["sku"]["default"] is None


def test_what_a_callable_checks_can_be_said_in_words_of_json_schema():
    def even(value: int) -> None:
        if value % 2:
            raise ValueError

    assert PayloadSpec.of(Annotated[int, rule(even, schema={"multipleOf": 2})]).json_schema() == {
        "type": "integer",
        "multipleOf": 2,
    }


def test_in_an_openapi_document_each_dataclass_has_one_name():
    @dataclass(frozen=True, kw_only=True)
    class Line:
        other: int

    plugin = MarshmallowPlugin()
    document = APISpec(title="t", version="1", openapi_version="3.1.0", plugins=[plugin])
    for annotation in (list[Everything], Everything | None, dict[str, Line]):
        plugin.converter.field2property(PayloadSpec.of(annotation).field)

    names = set(document.to_dict()["components"]["schemas"])
    assert names == {"EverythingPayload", "LinePayload", "test_json_schema_LinePayload"}


def test_changing_the_returned_schema_changes_nothing():
    spec = PayloadSpec.of(Line)
    spec.json_schema()["properties"].clear()

    assert "text" in spec.json_schema()["properties"]


def test_a_float_is_bounded_by_what_a_float_can_hold():
    assert PayloadSpec.of(float).json_schema()["maximum"] == math.nextafter(math.inf, 0)
