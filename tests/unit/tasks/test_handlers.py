"""The shipped task types: what they return, and that each can be tried as it stands."""

import pytest

from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import get_type, load_types
from tasks.handlers.fibonacci_calc import fibonacci_calc
from tasks.handlers.reverse_string import reverse_string
from tasks.handlers.uppercase_text import uppercase_text


@pytest.mark.parametrize(
    ("handler", "payload", "result"),
    [
        (reverse_string, "hello world", "dlrow olleh"),
        (reverse_string, "", ""),
        (reverse_string, "a😀b", "b😀a"),
        (uppercase_text, "hello world", "HELLO WORLD"),
        (uppercase_text, "straße", "STRASSE"),
        (fibonacci_calc, 0, 0),
        (fibonacci_calc, 1, 1),
        (fibonacci_calc, 10, 55),
        (fibonacci_calc, 100, 354224848179261915075),
    ],
)
def test_a_handler_returns_what_it_promises(handler, payload, result):
    assert handler(None, payload) == result


def test_the_largest_fibonacci_number_has_all_of_its_digits():
    assert str(fibonacci_calc(None, 1000))[:10] + str(len(str(fibonacci_calc(None, 1000)))) == "4346655768209"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("reverse_string", "x" * 100_001),
        ("reverse_string", 5),
        ("uppercase_text", None),
        ("uppercase_text", ["a"]),
        ("fibonacci_calc", -1),
        ("fibonacci_calc", 1001),
        ("fibonacci_calc", "10"),
        ("fibonacci_calc", 10.5),
        ("fibonacci_calc", True),
    ],
)
def test_a_payload_out_of_bounds_is_refused(name, payload):
    with pytest.raises(PayloadRefused):
        get_type(name).payload.load(payload)


def test_every_type_has_a_summary_and_an_example_in_its_schema():
    lacking = [
        each.name
        for each in load_types().values()
        if not each.summary or not each.payload.json_schema().get("examples")
    ]

    assert lacking == []
