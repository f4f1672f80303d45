"""What a type says of all of its submissions: keys and labels read off the payload, and limits."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal

import pytest

from taskledger_sdk import registry
from taskledger_sdk.defaults import Rate
from taskledger_sdk.errors import BadDeclaration, PayloadRefused
from taskledger_sdk.registry import TaskType, get_type, task_type


@dataclass(frozen=True, kw_only=True)
class Card:
    kind: Literal["card"]
    number: str


@dataclass(frozen=True, kw_only=True)
class Transfer:
    kind: Literal["transfer"]
    iban: str


@dataclass(frozen=True, kw_only=True)
class Address:
    city: str = "Berlin"
    street: str | None = None


class Colour(Enum):
    RED = "red"
    SEVEN = 7


@dataclass(frozen=True, kw_only=True)
class Charge:
    """All kinds of fields."""

    customer_id: str
    account: int = 7
    paid: bool = False
    address: Address = Address()
    by: Card | Transfer | None = None
    colour: Colour = Colour.RED
    at: datetime | None = None
    amount: float = 0.0
    anything: Any = None
    lines: tuple[str, ...] = ()
    notes: dict[str, str] | None = None


@pytest.fixture(autouse=True)
def none_declared(monkeypatch):
    """No test's types are there for the next one."""
    monkeypatch.setattr(registry, "_types", {})
    monkeypatch.setattr(registry, "_found", None)


def declared(**options) -> TaskType:
    @task_type("charge", **options)
    def charge(task: Any, payload: Charge) -> None:
        """Charge a customer."""

    return get_type("charge")


def key_of(template: str, **payload: Any) -> str | None:
    made = declared(ordering_key=template).defaults
    assert made is not None
    return made.of({"customer_id": "C-1"} | payload).ordering_key


@pytest.mark.parametrize(
    ("template", "payload", "text"),
    [
        ("payload.customer_id", {}, "C-1"),
        ("payload.customer_id", {"customer_id": ""}, None),
        ("payload.account", {}, "7"),
        ("payload.account", {"account": 12}, "12"),
        ("payload.account", {"account": 12.0}, "12"),
        ("payload.paid", {}, "false"),
        ("payload.paid", {"paid": True}, "true"),
        ("payload.colour", {"colour": 7}, "7"),
        ("payload.at", {"at": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ("payload.at", {"at": None}, None),
        ("payload.at", {}, None),
        ("payload.address.city", {"address": {"city": "Rome"}}, "Rome"),
        ("payload.address.city", {"address": {}}, "Berlin"),
        ("payload.address.street", {"address": {}}, None),
        ("payload.by.number", {"by": {"kind": "card", "number": "5"}}, "5"),
        ("payload.by.number", {"by": {"kind": "transfer", "iban": "DE"}}, None),
        ("payload.notes.ref", {"notes": {"ref": "R"}}, "R"),
        ("payload.notes.ref", {"notes": None}, None),
        ("host:{payload.address.city}", {}, "host:Berlin"),
        ("{payload.customer_id}/{payload.account} {x}", {}, "C-1/7 {x}"),
        ("{payload.customer_id}/{payload.address.street}", {"address": {}}, None),
    ],
)
def test_a_key_is_read_off_the_payload(template, payload, text):
    assert key_of(template, **payload) == text


def test_a_payload_that_is_one_value_is_its_own_path():
    @task_type("shout", concurrency_key="word:{payload}")
    def shout(task: Any, payload: str) -> None:
        """Shout a word."""

    made = get_type("shout").defaults
    assert made is not None
    assert made.of("hello").concurrency_key == "word:hello"


def test_labels_are_texts_and_paths_and_search_names_fields():
    made = declared(
        labels={"team": "billing", "where": "payload.address.city", "who": "c:{payload.customer_id}"},
        search=("account", "address.street"),
    ).defaults

    assert made is not None
    values = made.of({"customer_id": "C-1", "address": {"city": "Rome"}})
    assert values.labels == {"team": "billing", "where": "Rome", "who": "c:C-1", "account": "7"}
    assert (values.ordering_key, values.concurrency_key) == (None, None)


def test_a_type_that_declares_nothing_has_no_defaults():
    assert (declared().defaults, declared().starts) == (None, None)


@pytest.mark.parametrize(("most", "option"), [(200, "ordering_key"), (200, "concurrency_key")])
def test_a_value_that_makes_a_key_too_long_is_refused_with_its_path(most, option):
    kind = declared(**{option: "payload.customer_id"})

    kind.check({"customer_id": "x" * most})
    with pytest.raises(PayloadRefused) as refused:
        kind.check({"customer_id": "x" * (most + 1)})

    [message] = refused.value.errors["payload"]["customer_id"]
    assert f"makes the task's {option} longer than {most} characters" in message


def test_a_value_that_makes_a_label_too_long_is_refused():
    with pytest.raises(PayloadRefused, match="label customer_id longer than 256"):
        declared(search=("customer_id",)).check({"customer_id": "x" * 257})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ordering_key": "payload.custmer_id"}, "payload has no field 'custmer_id'; did you mean customer_id?"),
        ({"ordering_key": "payload.address.town"}, "payload.address has no field 'town'; it has: city, street"),
        ({"ordering_key": "payload.customer_id.x"}, "payload.customer_id has no field 'x'; it has none"),
        ({"ordering_key": "customer_id"}, "ordering_key='customer_id' names no field"),
        ({"ordering_key": ""}, "no text of 1 to 200"),
        ({"concurrency_key": "payload"}, "payload may be object; name a text"),
        ({"concurrency_key": "payload.lines"}, "payload.lines may be array"),
        ({"concurrency_key": "payload.amount"}, "payload.amount may be number"),
        ({"concurrency_key": "payload.anything"}, "payload.anything may be anything"),
        ({"labels": {"a b": "x"}}, "'a b' is no name of a label"),
        ({"labels": {"a": "payload.nothing"}}, "labels\\['a'\\]='payload.nothing': payload has no field"),
        ({"labels": ["a"]}, "give texts by name"),
        ({"labels": {"account": "x"}, "search": ("account",)}, "is given twice"),
        ({"labels": {f"l{n}": "x" for n in range(17)}}, "at most 16"),
        ({"search": ("custmer_id",)}, "search='custmer_id': payload has no field"),
        ({"search": ("a/b",)}, "search='a/b' is no field"),
        ({"search": "customer_id"}, r"give a tuple: search=\('customer_id',\)"),
        ({"rate": "100 per minute"}, "rate='100 per minute' is no rate"),
        ({"rate": "0/s"}, "is no rate"),
        ({"rate": "5/2day"}, "is no rate"),
        ({"concurrency": 0}, "concurrency=0; give how many"),
        ({"concurrency": True}, "concurrency=True"),
        ({"after_failure": "go on"}, "give one of 'block', 'release'"),
        ({"sensitive": True, "ordering_key": "payload.customer_id"}, "is sensitive"),
        ({"sensitive": True, "search": ("customer_id",)}, "is sensitive"),
        ({"ordring_key": "payload.customer_id"}, "did you mean ordering_key?"),
    ],
    ids=repr,
)
def test_what_cannot_be_is_told_when_the_type_is_declared(options, told):
    with pytest.raises(BadDeclaration, match=told) as fault:
        declared(**options)

    assert str(fault.value).startswith("charge: ")


def test_a_sensitive_type_may_have_labels_that_say_nothing_of_its_payload():
    made = declared(sensitive=True, labels={"team": "billing"}).defaults

    assert made is not None
    assert made.of({"customer_id": "C-1"}).labels == {"team": "billing"}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/min", Rate(count=100, seconds=60)),
        ("5/s", Rate(count=5, seconds=1)),
        ("10/30s", Rate(count=10, seconds=30)),
        ("1000/day", Rate(count=1000, seconds=86_400)),
        ("7/2h", Rate(count=7, seconds=7_200)),
    ],
)
def test_a_rate_is_starts_in_a_period(text, rate):
    assert declared(rate=text, concurrency=5).starts == rate


def test_the_database_is_told_the_same():
    made = declared(ordering_key="c:{payload.account}", search=("customer_id",)).defaults

    assert made is not None
    assert made.as_json() == {
        "ordering_key": ["c:", {"path": ["account"], "default": "7"}],
        "concurrency_key": None,
        "labels": {"customer_id": [{"path": ["customer_id"], "default": None}]},
    }
