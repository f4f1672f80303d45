"""Names of queues, exchanges and routing keys as NATS can have them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.transports.nats import names


@given(st.text())
def test_every_name_survives_encoding_in_letters_that_nats_allows(name):
    encoded = names.encode(name)

    assert re.fullmatch(r"[A-Za-z0-9_=-]+", encoded)
    assert names.decode(encoded) == name


@given(st.text(), st.text())
def test_two_names_are_never_encoded_alike(one, other):
    assert (names.encode(one) == names.encode(other)) == (one == other)


@given(st.text())
def test_a_routing_key_survives_being_part_of_a_subject(key):
    assert names.routing_key(names.route(key)) == key


@pytest.mark.parametrize(
    ("kind", "pattern", "key", "expected"),
    [
        ("direct", "tasks", "tasks", True),
        ("direct", "tasks", "other", False),
        ("direct", "#", "tasks", False),
        ("fanout", "", "anything", True),
        ("topic", "#", "task.sent", True),
        ("topic", "#", "", True),
        ("topic", "task.*", "task.sent", True),
        ("topic", "task.*", "task.sent.twice", False),
        ("topic", "task.#", "task", True),
        ("topic", "task.#", "task.sent.twice", True),
        ("topic", "#.sent", "task.sent", True),
        ("topic", "#.sent", "sent", True),
        ("topic", "*.sent", "sent", False),
        ("topic", "a.#.z", "a.b.c.z", True),
        ("topic", "a.#.z", "a.b.c", False),
        ("topic", "task.sent", "taskXsent", False),
    ],
)
def test_a_binding_matches_what_amqp_says(kind, pattern, key, expected):
    assert names.matches(kind, pattern, key) is expected


@pytest.mark.parametrize(
    ("kind", "pattern", "expected"),
    [
        ("direct", "a.b", "a.b"),
        ("direct", "*", "=2A"),
        ("direct", "", "="),
        ("topic", "task.*", "task.*"),
        ("topic", "task.#", ">"),
        ("fanout", "", ">"),
    ],
)
def test_a_subscription_is_at_least_as_wide_as_its_binding(kind, pattern, expected):
    assert names.interest(kind, pattern) == expected
