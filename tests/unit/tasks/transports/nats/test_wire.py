"""Messages in a stream, also those that no kombu wrote."""

import base64
import json
from datetime import timedelta

import pytest

from tasks.transports.nats import wire

MESSAGE = {
    "body": "[1]",
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": {"id": "7"},
    "properties": {"delivery_tag": "old", "delivery_info": {"exchange": "tasks", "routing_key": "low"}, "priority": 1},
}


def test_a_message_comes_back_under_a_tag_of_its_delivery():
    message = wire.decode(wire.encode(MESSAGE), queue="tasks", tag="new", deliveries=1)

    assert (message["body"], message["headers"], message["properties"]["delivery_tag"]) == ("[1]", {"id": "7"}, "new")
    assert message["properties"]["delivery_info"] == {"exchange": "tasks", "routing_key": "low", "redelivered": False}


def test_a_second_delivery_says_so():
    message = wire.decode(wire.encode(MESSAGE), queue="tasks", tag="new", deliveries=3)

    assert message["properties"]["delivery_info"]["redelivered"] is True
    assert message["headers"]["x-delivery-count"] == 2


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{broken", b"[]", b'{"body": 1}', b'{"properties": {}}', b"null"])
def test_bytes_that_are_no_message_become_one_with_those_bytes(data):
    message = wire.decode(data, queue="tasks", tag="new", deliveries=1)

    assert base64.b64decode(message["body"]) == data
    assert message["content-type"] == "application/octet-stream"
    assert message["properties"]["delivery_info"]["routing_key"] == "tasks"


def test_a_dead_letter_says_why_and_how_often_it_was_delivered():
    letter = json.loads(wire.dead(wire.encode(MESSAGE), queue="tasks", reason="delivery_limit", deliveries=4))

    [death] = letter["headers"]["x-death"]
    assert (death["reason"], death["queue"], death["deliveries"]) == ("delivery_limit", "tasks", 4)
    assert letter["body"] == "[1]"


@pytest.mark.parametrize(
    ("expiration", "seconds", "is_expired"),
    [("2000", 1.999, False), ("2000", 2.001, True), (None, 1e9, False), ("soon", 1e9, False), ("1e400", 1e9, False)],
)
def test_a_message_expires_after_the_milliseconds_it_names(expiration, seconds, is_expired):
    message = {"properties": {"expiration": expiration}}

    assert wire.is_expired(message, age=timedelta(seconds=seconds)) is is_expired


def test_a_message_without_an_expiration_does_not_expire():
    assert not wire.is_expired({"properties": {}}, age=timedelta(days=1000))
