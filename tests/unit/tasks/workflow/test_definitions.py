"""Definitions: what can be run, what cannot, and where that is said."""

import pytest

from app.errors import flatten
from taskledger_sdk.workflows import DefinitionRefused, load_workflows, parse
from taskledger_sdk.workflows.model import Definition

A = {"type": "reverse_string", "payload": "abc"}


def faults(definition) -> dict[str, str]:
    with pytest.raises(DefinitionRefused) as refused:
        parse(definition)
    return dict(flatten(refused.value.errors))


def after(*keys, **said):
    return {**A, "after": list(keys), **said}


def from_(path, **default):
    return {"$from": path, **default}


def test_the_full_form_and_what_is_stored_are_the_same_definition():
    for declared in load_workflows().values():
        definition = declared.definition

        assert parse(definition.as_json()) == definition
        assert Definition.stored(definition.as_json()).as_json() == definition.as_json()


def test_steps_come_in_an_order_in_which_each_follows_those_it_waits_for():
    definition = parse({"steps": {"c": after("a", "b"), "b": after("a"), "a": A}})

    assert list(definition.steps) == ["a", "b", "c"]
    assert definition.dependants == {"a": ("b", "c"), "b": ("c",), "c": ()}


def test_the_linear_form_becomes_a_chain():
    definition = parse(
        {"initialTask": A, "transitions": {"reverse_string": {"type": "uppercase_text", "payload": "x"}}}
    )

    assert [(step.key, step.after) for step in definition.steps.values()] == [
        ("reverse_string", ()),
        ("uppercase_text", ("reverse_string",)),
    ]


STEPS = "definition.steps"
REFUSED = {
    "a cycle of one": ({"a": after("a")}, f"{STEPS}.a.after", "closes a cycle: a → a"),
    "a cycle of three": (
        {"a": after("c"), "b": after("a"), "c": after("b"), "d": after("c")},
        f"{STEPS}.b.after",
        "closes a cycle: b → c → a → b",
    ),
    "a step that is not there": ({"first": A, "b": after("frist")}, f"{STEPS}.b.after", "did you mean 'first'"),
    "a step twice": ({"a": A, "b": after("a", "a")}, f"{STEPS}.b.after", "names a step twice"),
    "a bad key": ({"a b": A}, f"{STEPS}.a b", "its key must be"),
    "an unknown field": ({"a": {**A, "afer": []}}, f"{STEPS}.a.afer", "did you mean 'after'"),
    "no payload": ({"a": {"type": "reverse_string"}}, f"{STEPS}.a.payload", "is missing"),
    "retries": ({"a": {**A, "retry": {"max_retries": 101}}}, f"{STEPS}.a.retry", "0 to 100"),
    "a timeout": ({"a": {**A, "timeout": 700_000}}, f"{STEPS}.a.timeout", "must be from 1 to"),
    "no reference": ({"a": {**A, "payload": from_("steps.a")}}, f"{STEPS}.a.payload.$from", "is no reference"),
    "an unknown word": ({"a": {**A, "payload": {"$form": "x"}}}, f"{STEPS}.a.payload.$form", "is no template"),
    "a step beside": (
        {"a": A, "b": {**A, "payload": from_("steps.a.result")}},
        f"{STEPS}.b.payload",
        "does not come after a",
    ),
    "its own result": ({"a": {**A, "payload": from_("steps.a.result")}}, f"{STEPS}.a.payload", "does not come after a"),
    "a condition": ({"a": {**A, "when": {"bigger": [1, 2]}}}, f"{STEPS}.a.when.bigger", "is no condition"),
    "a comparison of three": ({"a": {**A, "when": {"equals": [1, 2, 3]}}}, f"{STEPS}.a.when.equals", "two values"),
    "a compensation": (
        {"a": {**A, "compensate_with": {"type": "uppercase_text", "payload": 5}}},
        f"{STEPS}.a.compensate_with.payload",
        "must be a string",
    ),
    "a masked secret": ({"a": {**A, "payload": "[redacted]"}}, f"{STEPS}.a.payload", "send the secret itself"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_run_is_refused_at_its_place(what):
    steps, place, message = REFUSED[what]

    found = faults({"steps": steps})

    assert message in found[place], found


def test_1001_steps_are_one_too_many_and_1000_are_not():
    found = faults({"steps": {f"s{number}": A for number in range(1001)}})

    assert found == {"definition.steps": "has 1001 steps; 1000 are allowed"}
    assert len(parse({"steps": {f"s{number}": A for number in range(1000)}}).steps) == 1000


def test_a_chain_of_1000_steps_that_refer_to_each_other_is_checked_in_a_moment():
    steps = {"s0": A}
    for number in range(1, 1000):
        steps[f"s{number}"] = after(f"s{number - 1}", payload=from_(f"steps.s{number // 2}.result"))

    assert len(parse({"steps": steps}).steps) == 1000


@pytest.mark.parametrize("kind", ["payload", "when"])
def test_what_is_nested_too_deeply_is_refused_at_its_place(kind):
    deep = True if kind == "when" else "x"
    for _ in range(40):
        deep = {"not": deep} if kind == "when" else [deep]

    [(place, message)] = faults({"steps": {"a": {**A, kind: deep}}}).items()

    assert place.startswith(f"definition.steps.a.{kind}.")
    assert "nested too deeply" in message


FORTY = range(40)
MANY_TYPOS = {
    "steps": {"first": A} | {f"s{number}": after("frist") for number in FORTY},
    "references": {"first": A, "last": {**A, "payload": [from_("steps.frist.task_id") for _ in FORTY]}},
    "fields": {"first": {**A, **{f"typ{number}": 1 for number in FORTY}}},
}


@pytest.mark.parametrize("steps", MANY_TYPOS.values(), ids=MANY_TYPOS)
def test_what_may_be_meant_is_guessed_a_few_times_only_because_that_takes_long(steps):
    said = " ".join(faults({"steps": steps}).values())

    assert said.count("did you mean") == 10


def test_a_payload_is_checked_where_it_is_known():
    mail = {"to": from_("input.to"), "subject": 5, "attachments": [from_("input.file")], "colour": "red"}

    found = faults({"steps": {"a": {"type": "send_email", "payload": mail}}})

    assert set(found) == {f"{STEPS}.a.payload.subject", f"{STEPS}.a.payload.colour"}


def test_inputs_that_are_declared_are_the_only_ones():
    found = faults({"input": {"name": {"type": "string"}}, "steps": {"a": {**A, "payload": from_("input.nam")}}})

    assert "did you mean 'name'" in found[f"{STEPS}.a.payload"]


def test_transitions_that_are_never_reached_or_run_in_a_circle_are_refused():
    lonely = faults({"initialTask": A, "transitions": {"send_email": A}})
    circle = faults({"initialTask": A, "transitions": {"reverse_string": A}})

    assert "is never reached" in lonely["definition.transitions.send_email"]
    assert "closes a cycle" in circle["definition.transitions.reverse_string"]


def test_what_only_the_service_submits_is_no_step():
    own = {"type": "webhook_delivery", "payload": {"delivery_id": "018f3c5e-7d2a-7000-8000-0123456789ab"}}

    assert "service itself" in faults({"steps": {"a": own}})[f"{STEPS}.a.type"]
    assert "service itself" in faults({"steps": {"a": A | {"compensate_with": own}}})[f"{STEPS}.a.compensate_with.type"]


def test_sensitive_types_cannot_be_steps(monkeypatch):
    from dataclasses import replace

    from taskledger_sdk import registry
    from taskledger_sdk.workflows import parsing

    secret = replace(registry.get_type("reverse_string"), sensitive=True)
    monkeypatch.setattr(parsing, "get_type", lambda _: secret)

    assert "is sensitive" in faults({"steps": {"a": A}})[f"{STEPS}.a.type"]


def test_what_a_reference_cannot_mend_is_refused_before_it_is_known():
    """A list is no text, and an unknown field stays one, whatever the reference inside comes to."""
    listed = {"to": "a@b.example", "subject": ["Hello", from_("input.name")], "text": "x"}
    unknown = {"to": "a@b.example", "subject": "x", "note": {"by": from_("input.name")}}

    said = [
        faults({"input": {"name": {"type": "string"}}, "steps": {"a": {"type": "send_email", "payload": payload}}})
        for payload in (listed, unknown)
    ]

    assert said == [
        {f"{STEPS}.a.payload.subject": "must be a string, not a list"},
        {f"{STEPS}.a.payload.note": "is not a known field"},
    ]


WAITS = {
    "approved": {"wait_for": "approved", "schema": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
                 "timeout": 60, "on_timeout": "skip"},
    "slept": {"sleep": from_("input.seconds"), "after": ["approved"]},
    "come": {"until": "2030-01-01T00:00:00Z"},
    "inner": {"workflow": "inner", "input": {"a": from_("steps.approved.result.data")}, "after": ["approved"]},
    "each": {**A, "for_each": from_("input.items"), "max_parallel": 5, "payload": from_("item.name"),
             "labels": {"number": from_("item.index")}, "compensate_with": {**A, "payload": from_("item")}},
    "runs": {"workflow": "inner", "for_each": [1, 2], "input": {"a": from_("item")}},
}  # fmt: skip


def test_steps_without_a_type_are_stored_as_they_are_written():
    definition = parse({"steps": WAITS})

    assert parse(definition.as_json()) == definition
    assert Definition.stored(definition.as_json()) == definition
    written = definition.as_json()["steps"]
    assert {key: written[key] for key in WAITS} == WAITS
    assert {key: step.task_type for key, step in definition.steps.items()} == {
        "approved": "wait_for_signal",
        "slept": "sleep_until",
        "come": "sleep_until",
        "inner": "run_workflow",
        "each": "fan_out",
        "runs": "fan_out",
    }


def test_what_they_do_is_said_for_people():
    assert {step.key: step.said for step in parse({"steps": WAITS}).steps.values()} == {
        "approved": "waits for approved",
        "slept": "sleeps",
        "come": "sleeps",
        "inner": "workflow inner",
        "each": "reverse_string, for each",
        "runs": "workflow inner, for each",
    }


@pytest.mark.parametrize(
    ("step", "place", "message"),
    [
        ({"wait_for": 5}, "a.wait_for", "must be 1 to 100 of"),
        ({"wait_for": "a b"}, "a.wait_for", "must be 1 to 100 of"),
        ({"wait_for": "a", "schema": []}, "a.schema", "JSON Schema"),
        ({"wait_for": "a", "timeout": -1}, "a.timeout", "must be from 0"),
        ({"wait_for": "a", "timeout": 1, "on_timeout": "go"}, "a.on_timeout", "fail, skip"),
        ({"wait_for": "a", "on_timeout": "skip"}, "a.on_timeout", "without a timeout"),
        ({"wait_for": "a", "type": "reverse_string"}, "a.type", "exclude each other"),
        ({"wait_for": "a", "sleep": 5}, "a.sleep", "exclude each other"),
        ({"sleep": "5"}, "a.sleep", "must be from 0"),
        ({"until": 5}, "a.until", "must be a moment"),
        ({"workflow": "b", "input": []}, "a.input", "must be an object"),
        ({"workflow": ""}, "a.workflow", "must be a text"),
        ({**A, "for_each": "ab"}, "a.for_each", "a template of a list"),
        ({**A, "for_each": [0] * 10_001}, "a.for_each", "at most 10000 items"),
        ({**A, "max_parallel": 5}, "a.max_parallel", "without for_each"),
        ({**A, "for_each": [], "max_parallel": 0}, "a.max_parallel", "from 1 to 10000"),
        ({**A, "payload": from_("item")}, "a.payload", "with for_each only"),
        ({**A, "for_each": [], "when": {"exists": from_("item.index")}}, "a.when.exists", "item.index is known in a"),
        ({**A, "for_each": from_("steps.b.result")}, "a.for_each", "there is no step 'b'"),
        ({**A, "payload": from_("event.data")}, "a.payload", "in triggers only"),
        ({"type": "fan_out", "payload": {}}, "a.type", "service itself"),
    ],
)
def test_what_cannot_be_waited_for_is_refused_at_its_place(step, place, message):
    assert message in faults({"steps": {"a": step}})[f"{STEPS}.{place}"]
