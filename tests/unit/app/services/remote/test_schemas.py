"""JSON Schemas of remote types: which are taken, and what they find in a payload."""

import time

import pytest

from app.errors import Refused
from app.services.remote.schemas import SchemaCheck, check
from taskledger_sdk.errors import PayloadRefused


def doubling(levels):
    defs = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


def chain(length, *, backwards=False):
    """References to each other, declared from the first or from the last."""
    links = [(f"a{n}", {"$ref": f"#/$defs/a{n + 1}"}) for n in range(length)]
    links.append((f"a{length}", {"type": "integer"}))
    return {"$defs": dict(reversed(links) if backwards else links)}


def shape(**properties):
    return {"type": "object", "required": ["op"], "properties": properties}


EXPRESSION = {
    "oneOf": [
        {"type": "integer"},
        shape(op={"const": "not"}, of={"$ref": "#"}),
        shape(op={"const": "minus"}, of={"$ref": "#"}),
    ]
}


def nested(levels, value, field="of"):
    for _ in range(levels):
        value = {"op": "not", field: value}
    return value


TREE = {
    "$defs": {"tree": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/tree"}}]}},
    "$ref": "#/$defs/tree",
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "pattern": "^[a-z]{1,200}$"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
        {"properties": {"a/b~c": {"type": "string"}}, "$ref": "#/properties/a~1b~0c"},
        TREE,
        doubling(5),
    ],
)
def test_these_are_taken(schema):
    check(schema)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (True, "must be an object"),
        ([], "must be an object"),
        ({"type": "nonsense"}, "can be used"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "must be https"),
        ({"$ref": "https://example.com/x"}, "must be the place"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "must be the place"),
        ({"$ref": "#/$defs/nothing"}, "must be the place"),
        ({"$id": "https://example.com/x"}, "is not taken"),
        ({"items": {"$dynamicRef": "#x"}}, "is not taken"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "leads back to itself"),
        (doubling(20), "asks more than"),
        (chain(600), "a chain of more than"),
        (chain(600, backwards=True), "a chain of more than"),
        ({"pattern": r"(a)\1"}, "no pattern that is taken"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "#/properties/a/pattern"),
        ({"pattern": "(.{1,300}){1,6}$"}, "no pattern that is taken"),
        ({"description": "x" * 70_000}, "at most 65536 bytes"),
    ],
)
def test_these_are_refused_with_the_reason(schema, why):
    with pytest.raises(Refused, match="schema") as refusal:
        check(schema)

    assert why in str(refusal.value)


def test_faults_have_the_path_of_each_value_and_quote_none():
    schema = {"properties": {"token": {"type": "string", "maxLength": 3}, "items": {"items": {"type": "integer"}}}}
    payload = {"token": "a-secret", "items": [1, "x"]}

    with pytest.raises(PayloadRefused) as refusal:
        SchemaCheck(schema).load(payload)

    assert set(refusal.value.errors["payload"]) == {"token", "items"}
    assert list(refusal.value.errors["payload"]["items"]) == ["1"]
    assert "a-secret" not in str(refusal.value)


def test_a_payload_that_fits_is_loaded_as_it_is():
    payload = {"a": [1, {"b": None}]}

    assert SchemaCheck({"type": "object"}).load(payload) is payload


def test_a_deep_payload_is_checked_against_a_schema_that_refers_to_itself():
    payload = 1
    for _ in range(850):
        payload = [payload]

    assert SchemaCheck(TREE).faults(payload) == []


def test_a_pattern_that_backtracks_elsewhere_takes_no_time():
    evil = SchemaCheck({"type": "string", "pattern": "^(a+)+$"})
    began = time.process_time()

    found = evil.faults("a" * 1_000_000 + "!")

    assert len(found) == 1
    assert time.process_time() - began < 2


@pytest.mark.parametrize("value", [1, "no number"])
def test_a_schema_that_leads_to_the_same_member_twice_does_not_take_for_ever(value):
    began = time.process_time()

    faults = SchemaCheck(EXPRESSION).faults(nested(40, value))

    assert "nested too deeply" in faults[0].message
    assert time.process_time() - began < 2


def test_what_is_wrong_deep_inside_is_told_without_the_place_where_the_place_would_take_too_long():
    began = time.process_time()

    faults = SchemaCheck(EXPRESSION).faults(nested(14, "no number"))

    assert [each.message for each in faults] == [
        "does not fit the schema of its type, and is nested too deeply to tell where"
    ]
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (EXPRESSION, nested(14, 1)),
        ({"allOf": [EXPRESSION]}, nested(5, 1)),
        (TREE, [[1, 2], [3, [4, [5]]]] * 1_000),
        ({"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}}, {"l": {"r": {"l": {"r": {}}}}, "r": {"l": {}}}),
        ({"items": {"anyOf": [shape(a={"type": "object"}), shape(a={"items": {}})]}}, [{"op": 1, "a": [1]}] * 20_000),
    ],
)
def test_payloads_that_fit_and_are_checked_in_time_still_do(schema, payload):
    assert SchemaCheck(schema).faults(payload) == []


def test_a_schema_that_nobody_has_looked_at_does_not_take_for_ever():
    faults = SchemaCheck(doubling(40)).faults(1)

    assert "nested too deeply" in faults[0].message


def test_members_that_are_named_and_no_others_need_not_be_counted():
    members = {"args": {"type": "array"}, "kwargs": {"type": "object"}}
    closed, open_ = (SchemaCheck({"properties": members, "additionalProperties": more}) for more in (False, members))

    assert closed._visits.of({"kwargs": {"a": [1]}}).total == 0
    assert open_._visits.of({"kwargs": {"a": [1]}}).total > 0
