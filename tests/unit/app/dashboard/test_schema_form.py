"""Forms made from JSON Schema, and values read back from them."""

import pytest
from werkzeug.datastructures import MultiDict

from app.dashboard import schema_form, schema_reading
from app.dashboard.schema_form import ITEMS, ON, VARIANT, Node
from app.dashboard.untouched import MISSING
from taskledger_sdk.registry import load_types

EXAMPLES = [(name, number) for name, kind in load_types().items() for number in range(len(kind.examples))]


def sent_by_a_browser(node: Node) -> list[tuple[str, str]]:
    """The fields that a browser sends for a form as it is drawn."""
    if node.kind == "flag":
        return [(node.name, "1")] if node.value else []
    fields: list[tuple[str, str]] = []
    if node.kind == "object" and node.is_on:
        fields.append((f"{node.name}.{ON}", "1"))
    if node.kind == "variant":
        fields.append((f"{node.name}.{VARIANT}", node.value))
    fields += [(f"{node.name}.{ITEMS}", key) for key in node.keys]
    if node.kind == "map":
        pairs = [(f"{child.name}.key", child.label) for child in node.children]
        return fields + pairs + [(f"{child.name}.value", child.value) for child in node.children]
    if node.kind in ("object", "variant", "list"):
        return fields + [field for child in node.children for field in sent_by_a_browser(child)]
    return [(node.name, node.value)]


def form_of(schema, value):
    return schema_form.build(schema, value, name="payload", label="Payload", errors={})


def back(schema, value):
    return schema_reading.read(schema, MultiDict(sent_by_a_browser(form_of(schema, value))), "payload")[0]


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_every_example_of_every_type_comes_back_as_it_went_into_its_form(name, number):
    kind = load_types()[name]
    example, schema = kind.examples[number], kind.payload.json_schema()

    returned = back(schema, example)

    assert kind.payload.load(returned) == kind.payload.load(example)


@pytest.mark.parametrize("name", load_types())
def test_a_form_that_nobody_filled_can_be_drawn_and_read(name):
    schema = load_types()[name].payload.json_schema()

    assert schema_reading.read(schema, MultiDict(sent_by_a_browser(form_of(schema, MISSING))), "payload")[0] is not None


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "pattern": "^[^\\u0000]*$"}, "long_text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "moment"),
        ({"type": "string", "format": "email"}, "email"),
        ({"type": ["integer", "null"]}, "whole"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "flag"),
        ({"enum": ["a", "b"]}, "choice"),
        ({"type": "array", "items": {"type": "string"}}, "list"),
        ({"type": ["array", "string"], "items": {"type": "string"}}, "list"),
        ({"type": "object", "properties": {}}, "object"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map"),
        ({"type": "object"}, "json"),
        ({}, "json"),
        ({"type": ["string", "number"]}, "json"),
    ],
)
def test_each_schema_has_its_input(schema, kind):
    assert schema_form.kind_of(schema) == kind


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("1.5", 1.5), ("-3", -3), ("1e400", "1e400"), ("nan", "nan"), ("ten", "ten"), ("", MISSING)],
)
def test_a_number_is_read_or_left_for_the_type_to_refuse(text, value):
    read = schema_reading.read({"type": "number"}, MultiDict({"n": text}), "n")[0]

    assert read is value or read == value


@pytest.mark.parametrize("value", [{"a": [1, None]}, "plain text", "12", "true", "", None, 12, [], "{"])
def test_any_json_survives_an_input_for_json(value):
    form = schema_form.build({}, value, name="x", label="X", errors={}, required=False)
    read = schema_reading.read({}, MultiDict({"x": form.value}), "x", required=False)[0]

    assert read == value or (value is None and read is MISSING)


def test_what_is_left_empty_and_may_be_is_not_sent():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}, "c": {"type": "array", "items": {}}},
        "required": ["b"],
    }

    assert schema_reading.read(schema, MultiDict({"p.a": "", "p.b": ""}), "p")[0] == {"b": None}


def test_items_are_added_and_removed_where_the_button_stands():
    schema = load_types()["create_invoice"].payload.json_schema()
    value = load_types()["create_invoice"].examples[0]

    longer = schema_reading.changed(value, schema, action="add", path=["lines"])
    shorter = schema_reading.changed(value, schema, action="remove", path=["lines", "0"])

    assert len(longer["lines"]) == 3
    assert [line["description"] for line in shorter["lines"]] == ["Grinder maintenance"]
    assert schema_reading.changed(value, schema, action="add", path=["no", "such"]) == value


def test_errors_stand_at_their_inputs():
    schema = load_types()["create_invoice"].payload.json_schema()
    value = load_types()["create_invoice"].examples[0]
    errors = {"payload.lines.1.quantity": ["is no number"]}
    form = schema_form.build(schema, value, name="payload", label="Payload", errors=errors)

    lines = next(child for child in form.children if child.name == "payload.lines")
    quantity = next(child for child in lines.children[1].children if child.name.endswith("quantity"))
    assert quantity.errors == ["is no number"]


def test_words_of_names():
    assert [schema_form.words_of(name) for name in ("customer_id", "forceFailure", "url")] == [
        "Customer id",
        "Force failure",
        "Url",
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 65 + "]" * 65, "NaN", "1e999", '"\\u0000"'])
def test_json_that_the_api_would_refuse_stays_the_text_that_was_typed(text):
    assert schema_reading.read({}, MultiDict({"payload": text}), "payload")[0] == text
