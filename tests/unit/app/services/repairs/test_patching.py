"""JSON Patches on payloads: what is refused before anything is counted, and what a patch may do to a payload."""

from dataclasses import dataclass, replace

import pytest

from app.errors import Refused
from app.services.repairs.patching import MAX_OPERATIONS, DoesNotFit, checked
from taskledger_sdk.payload import PayloadSpec, rule
from taskledger_sdk.registry import get_type


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    amount: int = 0


@dataclass(frozen=True, kw_only=True)
class Order:
    customer: str
    password: str = rule(secret=True, default="")


@dataclass(frozen=True, kw_only=True)
class Invoice:
    customer: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plain:
    customer: str
    note: str = ""
    tags: dict[str, str] | None = None


def kind_of(payload, **changes):
    return replace(get_type("reverse_string"), name="order", payload=PayloadSpec.of(payload), **changes)


PLAIN, ORDER = kind_of(Plain), kind_of(Order)


def patched(payload, *operations, kind=PLAIN, max_bytes=10_000):
    return checked(list(operations), kind, max_bytes=max_bytes).apply(payload)


def refusal(*operations, kind=PLAIN):
    with pytest.raises(Refused) as refused:
        checked(list(operations), kind, max_bytes=10_000)
    return refused.value.errors["patch"]


def replacing(path, value="x"):
    return {"op": "replace", "path": path, "value": value}


def test_a_patch_changes_what_it_names_and_leaves_the_old_payload_as_it_was():
    old = {"customer": "ada", "tags": {"a": "b"}}

    new = patched(old, replacing("/customer", "grace"), {"op": "add", "path": "/tags/c", "value": "d"})

    assert new == {"customer": "grace", "tags": {"a": "b", "c": "d"}}
    assert old == {"customer": "ada", "tags": {"a": "b"}}


@pytest.mark.parametrize("path", ["/id", "/type", "/status", "/owner_id", "/payload/customer", "/payload"])
@pytest.mark.parametrize("op", ["add", "remove", "replace", "test", "move", "copy"])
def test_what_is_not_of_the_payload_cannot_be_touched_and_the_place_is_told(op, path):
    errors = refusal({"op": op, "path": path, "from": "/customer", "value": 1} if op in ("move", "copy") else
                     {"op": op, "path": path, "value": 1})  # fmt: skip

    assert path in errors["0"]["path"][0]
    assert "customer" in errors["0"]["path"][0]


def test_nothing_can_be_taken_from_outside_of_the_payload():
    errors = refusal({"op": "copy", "from": "/id", "path": "/note"})

    assert "/id" in errors["0"]["from"][0]


def test_a_payload_that_is_a_text_has_no_parts():
    assert "string" in refusal(replacing("/id"), kind=get_type("reverse_string"))["0"]["path"][0]


@pytest.mark.parametrize(
    ("operation", "place"),
    [
        (5, "_schema"),
        ({}, "op"),
        ({"op": "increment", "path": "/customer"}, "op"),
        ({"op": "add", "path": "/customer"}, "value"),
        ({"op": "move", "path": "/customer"}, "from"),
        ({"op": "remove"}, "path"),
        ({"op": "remove", "path": 5}, "path"),
        ({"op": "remove", "path": "customer"}, "path"),
        ({"op": "remove", "path": "/customer~2"}, "path"),
        ({"op": "remove", "path": "/customer", "values": 1}, "values"),
    ],
)
def test_an_operation_that_is_none_is_refused_with_its_number_and_place(operation, place):
    errors = refusal({"op": "test", "path": "/customer", "value": "ada"}, operation)

    assert list(errors) == ["1"]
    assert place in errors["1"]


@pytest.mark.parametrize("patch", [None, {}, "x", []])
def test_a_patch_is_a_list_of_operations(patch):
    with pytest.raises(Refused, match="list of operations"):
        checked(patch, PLAIN, max_bytes=1_000)


def test_a_patch_is_bounded():
    with pytest.raises(Refused, match="at most"):
        checked([replacing("/note")] * (MAX_OPERATIONS + 1), PLAIN, max_bytes=1_000)
    with pytest.raises(Refused, match="at most"):
        checked([replacing("/note", "x" * 30_000)], PLAIN, max_bytes=100_000)


@pytest.mark.parametrize(
    "operation",
    [
        replacing("/password"),
        {"op": "copy", "from": "/password", "path": "/customer"},
        {"op": "test", "path": "/password", "value": "guess"},
        {"op": "copy", "from": "", "path": "/customer"},
        replacing("", {"customer": "x", "password": "y"}),
    ],
)
def test_secrets_are_neither_written_nor_read(operation):
    errors = refusal(operation, kind=ORDER)

    assert any("secret" in message for messages in errors["0"].values() for message in messages)


def test_payloads_of_the_services_own_types_are_not_changed():
    with pytest.raises(Refused, match="own"):
        checked([replacing("/customer")], kind_of(Plain, internal=True), max_bytes=1_000)


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ({"op": "remove", "path": "/note"}, "no such place"),
        ({"op": "test", "path": "/customer", "value": "grace"}, "another"),
        ({"op": "add", "path": "/tags/a/b", "value": 1}, "no such place"),
        (replacing("/customer", 17), "customer"),
        ({"op": "remove", "path": "/customer"}, "customer"),
    ],
)
def test_what_does_not_fit_says_where_and_quotes_nothing_of_the_payload(operation, told):
    with pytest.raises(DoesNotFit, match=told) as unfit:
        patched({"customer": "ada-the-secret-name"}, operation)

    assert "ada-the-secret-name" not in str(unfit.value)


def test_copies_cannot_make_a_payload_grow_without_end():
    operations = [{"op": "copy", "from": "/lines", "path": "/lines/-"}] * 40

    with pytest.raises(DoesNotFit, match="larger than"):
        patched({"customer": "x", "lines": [{"name": "y" * 100}]}, *operations, kind=kind_of(Invoice))
