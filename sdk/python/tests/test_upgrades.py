"""Upgrades: payloads of earlier releases, what declares them, and testing them."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from taskledger_sdk import TaskContext, testing
from taskledger_sdk.errors import BadDeclaration, PayloadRefused, UpgradeFailed
from taskledger_sdk.registry import get_type, task_type
from taskledger_sdk.upgrades import schema_hash_of

EARLIER = "0f3a9c1d2b4e"


@dataclass(frozen=True, kw_only=True)
class Resize:
    width: int


def from_sizes(payload: dict[str, Any]) -> dict[str, Any]:
    payload["width"] = {"s": 1, "m": 2}[payload.pop("size")]
    return payload


def declare(upgrade: Any, name: str = "acme.resize"):
    @task_type(name, upgrade=upgrade)
    def resize(task: TaskContext, payload: Resize) -> int:
        """Resize."""
        return payload.width

    return resize


def test_a_payload_is_upgraded_from_the_schema_that_it_was_accepted_under():
    kind = get_type(_name_of(declare({EARLIER: from_sizes})))
    sent = {"size": "m"}

    assert kind.load(sent, EARLIER) == Resize(width=2)
    assert sent == {"size": "m"}


def test_without_an_upgrade_a_payload_is_judged_as_it_is():
    kind = get_type(_name_of(declare({EARLIER: from_sizes})))

    assert kind.load({"width": 3}, "cccccccccccc") == kind.load({"width": 3}) == Resize(width=3)
    with pytest.raises(PayloadRefused):
        kind.load({"size": "m"}, "cccccccccccc")


def test_the_schemas_that_it_understands_are_its_own_and_those_it_upgrades():
    kind = get_type(_name_of(declare({EARLIER: from_sizes})))

    assert kind.understood == (kind.schema_hash, EARLIER)


def test_a_payload_upgraded_wrongly_names_the_schema_and_the_place():
    declare({EARLIER: lambda payload: payload})

    with pytest.raises(UpgradeFailed, match=f"from schema {EARLIER} made .* payload.width: is missing"):
        get_type("acme.resize").load({"size": "m"}, EARLIER)


@pytest.mark.parametrize(
    ("upgrade", "said"),
    [
        ([EARLIER], "give a mapping"),
        ({"first": from_sizes}, "no schema hash"),
        ({EARLIER: None}, "no function of one payload"),
        ({EARLIER: lambda: None}, "no function of one payload"),
        ({EARLIER: lambda a, b: None}, "no function of one payload"),
    ],
    ids=["a list", "a word", "nothing", "no parameter", "two parameters"],
)
def test_what_is_no_upgrade_is_refused_at_import(upgrade, said):
    with pytest.raises(BadDeclaration, match=said):
        declare(upgrade)


def test_an_upgrade_from_the_schema_as_it_is_would_never_be_one():
    now = get_type(_name_of(declare({}))).schema_hash

    with pytest.raises(BadDeclaration, match="the hash of the schema as it is now"):
        declare({now: from_sizes})


def test_a_hash_changes_with_the_schema_and_not_with_the_order_of_its_keys():
    assert schema_hash_of({"a": 1, "b": 2}) == schema_hash_of({"b": 2, "a": 1}) != schema_hash_of({"a": 1})


def test_a_test_runs_a_task_that_an_earlier_release_has_accepted():
    handler = declare({EARLIER: from_sizes})

    assert testing.run(handler, {"size": "m"}, accepted_under=EARLIER) == testing.Completed(2)
    assert testing.upgraded(handler, {"size": "s"}, EARLIER) == {"width": 1}
    assert testing.schema_hash(handler) == get_type("acme.resize").schema_hash


def test_a_test_is_told_which_upgrades_there_are():
    handler = declare({EARLIER: from_sizes})

    with pytest.raises(ValueError, match=f"no upgrade from schema cccccccccccc; it has: {EARLIER}"):
        testing.upgraded(handler, {"size": "s"}, "cccccccccccc")


def test_a_test_of_an_upgrade_that_makes_what_is_refused_fails():
    handler = declare({EARLIER: lambda payload: {"width": "wide"}})

    with pytest.raises(UpgradeFailed):
        testing.upgraded(handler, {"size": "s"}, EARLIER)


def _name_of(_: Any) -> Literal["acme.resize"]:
    return "acme.resize"
