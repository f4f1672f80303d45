"""Templates and conditions: what they come to."""

import pytest

from taskledger_sdk.workflows.conditions import holds, unmet
from taskledger_sdk.workflows.errors import Faults, InputRefused, StepRefused
from taskledger_sdk.workflows.inputs import loaded, parse_inputs
from taskledger_sdk.workflows.templates import Missing, below, bounded, reference_of, render

INPUT = {"name": "Ada", "orders": [{"id": 1}, {"id": 2}], "none": None, "n": 5, "yes": True}


def lookup(reference):
    return below(INPUT, reference.path)


def from_(path, **default):
    return {"$from": path, **default}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ({"a": [from_("input.name"), 1, None]}, {"a": ["Ada", 1, None]}),
        (from_("input.orders.1.id"), 2),
        (from_("input.orders.-1.id"), 2),
        (from_("input"), INPUT),
        (from_("input.none"), None),
        (from_("input.none", default=3), 3),
        (from_("input.x.y", default=from_("input.n")), 5),
        ({"$text": ["n=", from_("input.n"), " ", True]}, "n=5 true"),
        ({"$literal": {"$from": "input.name"}}, {"$from": "input.name"}),
    ],
)
def test_a_template_comes_to(template, value):
    assert render(template, lookup) == value


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"a": [from_("input.x")]}, r"payload\.a\.0: there is no input\.x"),
        (from_("input.orders.2"), "there is no input.orders.2"),
        (from_("input.orders.-3"), "there is no input.orders.-3"),
        (from_("input.orders.١"), "there is no input.orders"),
        (from_("input.name.first"), "there is no input.name.first"),
        ({"$text": [from_("input.orders")]}, "only texts, numbers and booleans"),
    ],
)
def test_what_is_not_there_is_named_with_its_place(template, message):
    with pytest.raises(StepRefused, match=message):
        render(template, lookup)


@pytest.mark.parametrize(
    "template", [[from_("input.name")] * 5, {"$text": [from_("input.name"), from_("input.orders")]}]
)
def test_what_is_referred_to_is_refused_before_it_grows_beyond_what_is_accepted(template):
    with pytest.raises(StepRefused, match="bytes; at most 12 are accepted"):
        render(template, bounded(lookup, 12))


def test_what_is_nested_too_deeply_to_be_measured_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(StepRefused, match="nested too deeply"):
        render(from_("input"), bounded(lambda _: deep, 12))


def test_what_fits_exactly_is_accepted():
    assert render({"$text": [from_("input.name")] * 4}, bounded(lookup, 12)) == "AdaAdaAdaAda"


@pytest.mark.parametrize(
    "text", ["", "input.", "inputs.a", "steps.a", "steps.a.error", "run.secret", "a" * 600, 5, None]
)
def test_no_reference(text):
    assert reference_of(text) is None


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (from_("input.yes"), True),
        ({"equals": [from_("input.n"), 5]}, True),
        ({"equals": [from_("input.yes"), 1]}, False),
        ({"not_equals": [from_("input.name"), "Bob"]}, True),
        ({"greater": [from_("input.n"), 5]}, False),
        ({"at_least": [from_("input.n"), 5]}, True),
        ({"less": ["a", "b"]}, True),
        ({"at_most": [6, 5]}, False),
        ({"in": [from_("input.name"), ["Ada", "Bob"]]}, True),
        ({"in": [True, [1]]}, False),
        ({"exists": from_("input.none")}, False),
        ({"exists": from_("input.x.y")}, False),
        ({"exists": from_("input.name")}, True),
        ({"all": [True, {"not": False}]}, True),
        ({"any": [False, {"equals": [1, 2]}]}, False),
    ],
)
def test_a_condition_holds_or_not(condition, expected):
    assert holds(condition, lookup) is expected


@pytest.mark.parametrize(
    "condition",
    [from_("input.n"), {"greater": [1, "a"]}, {"less": [True, 2]}, {"in": [1, 2]}, {"equals": [from_("input.x"), 1]}],
)
def test_what_cannot_be_compared_fails(condition):
    with pytest.raises(StepRefused, match="when"):
        holds(condition, lookup)


def test_a_value_below_what_has_no_parts_is_missing():
    with pytest.raises(Missing):
        below("text", ("a",))


def declared(**said):
    faults = Faults()
    made = parse_inputs(said, ("input",), faults)
    assert not faults
    return made


def test_an_input_gets_its_defaults():
    inputs = declared(a={"type": "string"}, b={"type": "integer", "default": 3}, c={"type": "date", "required": False})

    assert loaded(inputs, {"a": "x"}) == {"a": "x", "b": 3, "c": None}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", "a", 1),
        ("integer", 1, 1.5),
        ("number", 1.5, "1"),
        ("boolean", True, 1),
        ("date", "2026-01-31", "2026-02-31"),
        ("moment", "2026-01-31T00:00:00Z", "2026-01-31"),
        ("uuid", "018f3c5e-7d2a-7000-8000-0123456789ab", "x"),
        ("decimal", "12.50", 12.5),
        ("object", {"a": 1}, []),
        ("list", [1], {}),
    ],
)
def test_each_type_takes_its_own(kind, good, bad):
    inputs = declared(a={"type": kind})

    assert loaded(inputs, {"a": good}) == {"a": good}
    with pytest.raises(InputRefused):
        loaded(inputs, {"a": bad})


@pytest.mark.parametrize("given", [[], None, "a", {}, {"b": 1}, {"a": None}, {"a": "\x00"}, {"a": "[redacted]"}])
def test_an_input_that_does_not_fit_is_refused(given):
    with pytest.raises(InputRefused):
        loaded(declared(a={"type": "string"}), given)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (True, None),
        (False, "when: it is false"),
        ({"equals": [from_("input.n"), 5]}, None),
        ({"equals": [from_("input.n"), 6]}, "when.equals: 5 is not 6"),
        ({"not_equals": [from_("input.n"), 5]}, "when.not_equals: 5 is 5"),
        ({"greater": [from_("input.n"), 5]}, "when.greater: 5 is not greater than 5"),
        ({"at_least": [from_("input.n"), 6]}, "when.at_least: 5 is less than 6"),
        ({"less": [from_("input.n"), 5]}, "when.less: 5 is not less than 5"),
        ({"at_most": [from_("input.n"), 4]}, "when.at_most: 5 is greater than 4"),
        ({"in": [from_("input.n"), [1, 2]]}, "when.in: 5 is not in [1, 2]"),
        ({"exists": from_("input.none")}, "when.exists: there is no input.none"),
        ({"all": [from_("input.yes"), {"any": [False, False]}]}, "when.all.1.any: none of its parts holds"),
        ({"not": from_("input.yes")}, "when.not: what it denies holds"),
    ],
)
def test_a_condition_that_does_not_hold_says_where_and_why(condition, reason):
    assert unmet(condition, lookup, lookup) == reason


def test_the_reason_shows_what_may_be_shown():
    said = unmet({"equals": [from_("input.name"), "Eve"]}, lookup, lambda _: "[redacted]")

    assert said == 'when.equals: "[redacted]" is not "Eve"'


@pytest.mark.parametrize("text", ["event.data", "event.data.a.0", "event.name", "event.id", "event.received_at"])
def test_references_to_an_event_are_known(text):
    assert str(reference_of(text)) == text


@pytest.mark.parametrize("text", ["event", "event.total", "event.name.first"])
def test_what_an_event_does_not_have_is_no_reference(text):
    assert reference_of(text) is None
