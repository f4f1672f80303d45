"""Classes and interfaces from JSON Schemas: which type a schema becomes, what they are called, what is sent."""

import json
import re
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from payload_schemas import HASH, TEXT, module_of, objects, task_type

from taskledger_sdk.client.options import as_json
from taskledger_sdk.http.errors import Unsendable
from taskledger_sdk.payload_types import source
from taskledger_sdk.typed_payloads import UNSET, TypedPayload, ValuePayload

DECIMAL = r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,2})?$"
ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "Of the order"},
        "class": {"type": "string"},
        "X-Rate": {"type": "number", "default": 1.5},
        "ordered_at": {"type": "string", "format": "date-time"},
        "due_on": {"type": ["string", "null"], "format": "date", "default": None},
        "total": {"type": "string", "pattern": DECIMAL},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": TEXT, "from": {"type": "integer", "default": 1}},
                "required": ["sku"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["id", "class", "ordered_at", "total", "lines"],
    "additionalProperties": False,
}


def annotated(schema):
    """How Python and TypeScript write a field of this schema that is required."""
    shown = task_type(objects({"value": schema}, ["value"]))
    python = re.search(r"^    value: (.*)$", source([shown], "python"), re.MULTILINE)
    typescript = re.search(r"^  value: (.*);$", source([shown], "typescript"), re.MULTILINE)
    return python[1], typescript[1]


@pytest.mark.parametrize(
    ("schema", "python", "typescript"),
    [
        (TEXT, "str", "string"),
        ({"type": "integer", "minimum": 3}, "int", "number"),
        ({"type": "number"}, "float", "number"),
        ({"type": "boolean"}, "bool", "boolean"),
        ({"type": "null"}, "None", "null"),
        ({}, "Any", "unknown"),
        ({"description": "Anything"}, "Any", "unknown"),
        (True, "Any", "unknown"),
        ({"type": ["string", "null"]}, "str | None", "string | null"),
        ({"type": ["null", "integer", "string"]}, "int | str | None", "number | string | null"),
        ({"type": "string", "format": "date"}, "dt.date", "string"),
        ({"type": "string", "format": "date-time"}, "dt.datetime", "string"),
        ({"type": "string", "format": "uuid"}, "UUID", "string"),
        ({"type": "string", "format": "email"}, "str", "string"),
        ({"type": "string", "pattern": DECIMAL}, "Decimal", "string"),
        ({"type": "string", "pattern": "^[0-9]+$", "x-minimum": "0"}, "Decimal", "string"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "str", "string"),
        ({"type": ["string", "null"], "anyOf": [{"pattern": "a"}, {"pattern": "b"}]}, "str | None", "string | null"),
        ({"enum": ["a", "b"], "type": "string"}, 'Literal["a", "b"]', '"a" | "b"'),
        ({"enum": ["a", None], "type": ["string", "null"]}, 'Literal["a"] | None', '"a" | null'),
        ({"enum": [1, "1", True]}, 'Literal[1, "1", True]', '1 | "1" | true'),
        ({"enum": [0.5, 1]}, "float", "0.5 | 1"),
        ({"const": "a | b"}, 'Literal["a | b"] = "a | b"', '"a | b"'),
        ({"type": "array", "items": TEXT}, "list[str]", "Array<string>"),
        ({"type": ["array", "string"], "items": TEXT}, "list[str] | str", "Array<string> | string"),
        ({"type": "array"}, "list[Any]", "Array<unknown>"),
        ({"type": "object"}, "Mapping[str, Any]", "Record<string, unknown>"),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            "Mapping[str, int]",
            "Record<string, number>",
        ),
        ({"oneOf": [TEXT, {"type": "null"}]}, "str | None", "string | null"),
        ({"anyOf": [TEXT, {"type": "string", "format": "uuid"}]}, "str | UUID", "string"),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, "int", "number"),
        ({"allOf": [{"allOf": [{"enum": ["a", "b"]}]}, {"type": "string"}]}, 'Literal["a", "b"]', '"a" | "b"'),
        ({"properties": {"a": TEXT}}, "AcmeOrderValue", "AcmeOrderValue"),
    ],
)
def test_a_schema_becomes_a_type(schema, python, typescript):
    assert annotated(schema) == (python, typescript)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "#/$defs/a"}, "its schema is a reference"),
        ({"allOf": [{"$ref": "#/$defs/a"}]}, "its schema is a reference"),
        ({"enum": [[1], {"a": 1}]}, "its values are arrays or objects"),
        ({"type": "array", "prefixItems": [TEXT]}, "each place of the array has a type of its own"),
        ({"type": "moment"}, "its type is unknown"),
        (False, "nothing fits it"),
    ],
)
def test_what_types_cannot_say_is_anything_with_a_reason_beside_it(schema, reason):
    python, typescript = annotated(schema)
    shown = task_type(objects({"value": schema}))

    assert "Any" in python
    assert "unknown" in typescript
    assert f"    # Any: {reason}." in source([shown], "python")
    assert f"/** Anything: {reason}. */" in source([shown], "typescript")


def test_an_object_becomes_frozen_classes_that_are_sent_under_their_names_in_json():
    made = module_of(task_type(ORDER))
    line = made["AcmeOrderLinesItem"](sku="a", from_=2)
    order = made["AcmeOrder"](
        id=UUID(int=1),
        class_="large",
        ordered_at=datetime(2026, 1, 31, 9, tzinfo=UTC),
        total=Decimal("12.50"),
        lines=[line, made["AcmeOrderLinesItem"](sku="b")],
    )

    assert json.loads(as_json(order)) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "class": "large",
        "ordered_at": "2026-01-31T09:00:00+00:00",
        "total": "12.50",
        "lines": [{"sku": "a", "from": 2}, {"sku": "b"}],
    }
    assert isinstance(order, TypedPayload)
    assert (order.TASK_TYPE, order.SCHEMA_HASH, order.X_Rate) == ("acme.order", HASH, UNSET)
    assert not isinstance(line, TypedPayload)
    with pytest.raises(FrozenInstanceError):
        order.class_ = "small"
    with pytest.raises(TypeError):
        made["AcmeOrder"](id=UUID(int=1))


def test_a_module_imports_what_it_needs():
    lines = source([task_type(TEXT)], "python").splitlines()

    assert [line for line in lines if line.startswith(("import", "from"))] == [
        "from dataclasses import dataclass",
        "from typing import ClassVar",
        "from taskledger_sdk.typed_payloads import ValuePayload",
    ]


def test_null_is_sent_and_unset_is_not():
    order = module_of(task_type(objects({"due_on": {"type": ["string", "null"], "format": "date"}})))["AcmeOrder"]

    assert as_json([order(), order(due_on=UNSET), order(due_on=None)]) == b'[{},{},{"due_on":null}]'
    assert as_json(order(due_on=date(2026, 1, 31))) == b'{"due_on":"2026-01-31"}'
    with pytest.raises(Unsendable, match="UNSET leaves out a field"):
        as_json({"due_on": UNSET})


@pytest.mark.parametrize(
    ("schema", "value", "sent"),
    [
        (TEXT, "hello", b'"hello"'),
        ({"type": ["integer", "null"]}, None, b"null"),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], b"[1,2]"),
    ],
)
def test_a_payload_that_is_no_object_has_one_value(schema, value, sent):
    order = module_of(task_type(schema))["AcmeOrder"](value)

    assert isinstance(order, ValuePayload)
    assert as_json(order) == sent


def test_an_object_or_null_is_a_value_and_keeps_its_class():
    made = module_of(task_type({"oneOf": [objects({"a": TEXT}, ["a"]), {"type": "null"}]}))

    assert as_json(made["AcmeOrder"](made["AcmeOrderValue"](a="b"))) == b'{"a":"b"}'
    assert as_json(made["AcmeOrder"](None)) == b"null"


def test_a_choice_of_objects_is_a_class_for_each_tag_which_says_its_tag_by_itself():
    keep = objects({"n": TEXT, "operation": {"enum": ["keep"]}, "columns": {"type": "array"}}, ["operation", "columns"])
    head = objects({"n": TEXT, "operation": {"const": "head"}, "rows": {"type": "integer"}}, ["operation"])
    shown = task_type({"type": "object", "oneOf": [keep, head]})
    made = module_of(shown)

    assert as_json(made["AcmeOrderKeep"](columns=["a"])) == b'{"operation":"keep","columns":["a"]}'
    assert as_json(made["AcmeOrderHead"](rows=3)) == b'{"operation":"head","rows":3}'
    assert made["AcmeOrder"] == made["AcmeOrderKeep"] | made["AcmeOrderHead"]
    assert made["AcmeOrderHead"].TASK_TYPE == "acme.order"
    assert "export type AcmeOrder = AcmeOrderKeep | AcmeOrderHead;" in source([shown], "typescript")


def test_objects_that_no_field_tells_apart_are_numbered_and_share_what_stands_beside_them():
    one, other = ({"properties": {name: TEXT}, "required": [name]} for name in ("a", "b"))
    shared = objects({"both": TEXT}, ["both"])
    made = module_of(task_type({**shared, "anyOf": [one, other]}))

    assert as_json(made["AcmeOrder1"](both="x", a="y")) == b'{"both":"x","a":"y"}'
    assert as_json(made["AcmeOrder2"](both="x", b="y")) == b'{"both":"x","b":"y"}'


def test_an_object_that_may_have_other_fields_says_so():
    shown = task_type({"type": "object", "properties": {"a": TEXT}})

    assert "It may have other fields, which cannot be given here." in source([shown], "python")
    assert "  [other: string]: unknown;" in source([shown], "typescript")


def test_the_same_types_make_the_same_text_in_whatever_order_they_come():
    shown = [task_type(ORDER, name) for name in ("b", "a", "c")]

    for language in ("python", "typescript"):
        assert source(shown, language) == source(reversed(shown), language)
        assert source(shown, language).endswith("\n")
        assert source([], language)


def test_the_interfaces_say_what_is_optional_and_which_type_takes_what():
    shown = task_type(ORDER, summary="Charge an order.")
    text = source([shown], "typescript")

    assert "  /**\n   * Of the order\n   *\n   * A UUID.\n   */\n  id: string;" in text
    assert '  /** Left out: `1.5`. */\n  "X-Rate"?: number;' in text
    assert "  due_on?: string | null;" in text
    assert "  lines: Array<AcmeOrderLinesItem>;" in text
    assert 'export interface TaskPayloads {\n  "acme.order": AcmeOrder;\n}\n' in text
    assert f"Charge an order.\n *\n * The payload of acme.order; its schema is {HASH}." in text
