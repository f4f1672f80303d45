"""What the errors say, and that they survive the way from a pool child to its parent."""

import pickle

import pytest

from taskledger_sdk.errors import AskedToWait, PayloadRefused, RetryLater, ShuttingDown, TaskCancelled, UnknownTaskType

KNOWN = ("fibonacci_calc", "reverse_string")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("reverse_strin", "reverse_string"), ("fibbonaci_cal", "fibonacci_calc"), ("mine_bitcoin", None)],
)
def test_an_unknown_type_suggests_the_nearest_name_if_one_is_near(name, nearest):
    assert UnknownTaskType(name, KNOWN).nearest == nearest


def test_an_unknown_type_names_the_known_ones():
    assert str(UnknownTaskType("reverse", KNOWN)) == (
        "no task type is called 'reverse'; did you mean 'reverse_string'? Known: fibonacci_calc, reverse_string"
    )


def test_the_name_of_an_unknown_type_is_cut_in_the_message():
    assert len(str(UnknownTaskType("x" * 100_000, KNOWN))) < 250


def test_a_refused_payload_reads_as_paths_and_messages():
    refused = PayloadRefused({"payload": {"to": ["is missing"], "lines": {"0": {"_schema": ["must be an object"]}}}})

    assert str(refused) == "payload.to: is missing; payload.lines.0: must be an object"


@pytest.mark.parametrize(
    "error",
    [
        PayloadRefused({"payload": ["no"]}),
        UnknownTaskType("reverse", KNOWN),
        RetryLater(3, "busy"),
        AskedToWait(3, "busy"),
    ],
)
def test_an_error_arrives_in_another_process_as_it_left(error):
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("stop", [TaskCancelled, ShuttingDown])
def test_a_handler_that_catches_every_exception_can_still_be_stopped(stop):
    assert not issubclass(stop, Exception)
