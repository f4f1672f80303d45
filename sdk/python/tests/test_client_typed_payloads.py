"""Payloads that know their type: alone in submit(), among others in submit_many(), in both clients."""

import asyncio
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

import pytest
from fake_submissions import running

from taskledger_sdk import AsyncClient, Client, Submission
from taskledger_sdk.client import new_id
from taskledger_sdk.typed_payloads import JSON_NAME, UNSET, TypedPayload, Unset, ValuePayload

KEY = "tl_test"


@dataclass(frozen=True, kw_only=True)
class CountWords(TypedPayload):
    TASK_TYPE: ClassVar[str] = "count_words"
    SCHEMA_HASH: ClassVar[str] = "0123456789ab"

    text: str
    from_: int | Unset = field(default=UNSET, metadata={JSON_NAME: "from"})


@dataclass(frozen=True)
class Greet(ValuePayload):
    TASK_TYPE: ClassVar[str] = "greet"
    SCHEMA_HASH: ClassVar[str] = "0123456789ab"

    value: str


@pytest.fixture
def fake():
    with running() as service:
        yield service


@pytest.fixture
def client(fake, home):
    with Client(fake.url, KEY) as client:
        yield client


def bodies(fake):
    return [body for _, _, _, body in fake.requests]


def test_a_payload_stands_alone_with_options_and_an_id(client, fake):
    id_ = new_id()

    task = client.submit(CountWords(text="a b"), id=id_, priority="high", labels={"team": "billing"})

    assert task.type == "count_words"
    assert bodies(fake) == [
        {
            "type": "count_words",
            "payload": {"text": "a b"},
            "priority": "high",
            "labels": {"team": "billing"},
            "id": str(id_),
        }
    ]
    assert list(fake.tasks) == [str(id_)]


def test_left_out_fields_are_not_sent_and_others_have_their_names(client, fake):
    client.submit(CountWords(text="a", from_=0))
    client.submit(Greet("hello"))
    client.submit("greet", Greet("by name"))

    assert [each["payload"] for each in bodies(fake)] == [{"text": "a", "from": 0}, "hello", "by name"]


def test_decimals_are_written_without_an_exponent(client, fake):
    client.submit("charge", {"total": Decimal("1E+2"), "tax": Decimal("0.0000001"), "rate": Decimal("12.50")})

    assert bodies(fake)[0]["payload"] == {"total": "100", "tax": "0.0000001", "rate": "12.50"}


def test_a_type_without_a_payload_or_two_payloads_are_refused_before_anything_is_sent(client, fake):
    with pytest.raises(TypeError, match="takes a type and a payload"):
        client.submit("greet")
    with pytest.raises(TypeError, match="CountWords is a payload and knows its type"):
        client.submit(CountWords(text="a"), {"text": "b"})

    assert bodies(fake) == []
    client.submit("greet", None)
    [body] = bodies(fake)
    assert (body["type"], body["payload"]) == ("greet", None)


def test_many_are_submitted_alone_or_with_options(client, fake):
    many = [
        CountWords(text="a"),
        Submission.of(Greet("b"), {"priority": "low"}),
        Submission("greet", "c"),
    ]

    results = list(client.submit_many(many))

    assert all(each.id for each in results)
    [sent] = bodies(fake)
    assert [{name: value for name, value in each.items() if name != "id"} for each in sent] == [
        {"type": "count_words", "payload": {"text": "a"}},
        {"type": "greet", "payload": "b", "priority": "low"},
        {"type": "greet", "payload": "c"},
    ]


def test_coroutines_do_the_same(fake, home):
    async def both():
        async with AsyncClient(fake.url, KEY) as client:
            await client.submit(CountWords(text="a"))
            return [each async for each in client.submit_many([Greet("b")])]

    [result] = asyncio.run(both())

    assert result.id
    assert "count_words" in json.dumps(bodies(fake)[0])
