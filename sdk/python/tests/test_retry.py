"""When an attempt is tried again, in tables."""

import pickle
from dataclasses import replace
from datetime import timedelta

import pytest

from taskledger_sdk.errors import (
    AskedToWait,
    BadDeclaration,
    PayloadRefused,
    PermanentError,
    RetryLater,
    TimeLimitReached,
)
from taskledger_sdk.retry import GiveUp, Retry, RetryPolicy, decide

POLICY = RetryPolicy(max_retries=3, base_seconds=2.0, factor=2.0, cap_seconds=600.0)


def longest() -> float:
    return 1.0


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 512), (10, 600), (11, 600), (1_000_000, 600)]
)
def test_the_ceiling_doubles_with_each_attempt_up_to_the_cap(attempt, seconds):
    assert POLICY.delay(attempt, longest) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_the_delay_lies_anywhere_between_nothing_and_the_ceiling(drawn, seconds):
    assert POLICY.delay(3, lambda: drawn) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("jitter", "drawn", "seconds"), [(0.5, 0.0, 4), (0.5, 1.0, 8), (0.0, 0.3, 8), (0.25, 0.5, 7)])
def test_without_full_jitter_a_part_of_the_ceiling_is_always_waited(jitter, drawn, seconds):
    assert replace(POLICY, jitter=jitter).delay(3, lambda: drawn) == timedelta(seconds=seconds)


def test_the_least_and_most_of_all_pauses_are_the_sums_over_the_retries():
    assert replace(POLICY, jitter=0.5).pauses() == (timedelta(seconds=7), timedelta(seconds=14))


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("asked", [0, 1, 1e5])
def test_no_server_shortens_a_pause(drawn, asked):
    for used in range(3):
        own = POLICY.delay(used + 1, lambda: drawn)
        decision = decide(POLICY, error=AskedToWait(asked), retries_used=used, max_retries=3, random=lambda: drawn)

        assert decision == Retry(max(own, timedelta(seconds=asked)))


@pytest.mark.parametrize(
    ("error", "used", "allowed", "outcome"),
    [
        (ValueError(), 0, 3, Retry(timedelta(seconds=2))),
        (ValueError(), 2, 3, Retry(timedelta(seconds=8))),
        (ValueError(), 3, 3, GiveUp("all of its 3 retries are used")),
        (ValueError(), 3, 4, Retry(timedelta(seconds=16))),
        (ValueError(), 0, 0, GiveUp("it may not be retried")),
        (TimeLimitReached(), 0, 3, Retry(timedelta(seconds=2))),
        (PermanentError("no"), 0, 3, GiveUp("its error is permanent")),
        (PayloadRefused({"payload": ["no"]}), 0, 3, GiveUp("its error is permanent")),
        (RetryLater(90), 1, 3, Retry(timedelta(seconds=90))),
        (RetryLater(0), 1, 3, Retry(timedelta(seconds=0))),
        (RetryLater(90), 3, 3, GiveUp("all of its 3 retries are used")),
        (AskedToWait(90), 1, 3, Retry(timedelta(seconds=90))),
        (AskedToWait(3), 1, 3, Retry(timedelta(seconds=4))),
        (AskedToWait(0), 2, 3, Retry(timedelta(seconds=8))),
        (AskedToWait(90), 3, 3, GiveUp("all of its 3 retries are used")),
    ],
)
def test_the_decision_follows_from_the_error_and_the_retries_used(error, used, allowed, outcome):
    assert decide(POLICY, error=error, retries_used=used, max_retries=allowed, random=longest) == outcome


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"max_retries": 101},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"factor": float("inf")},
        {"base_seconds": -1},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": float("nan")},
        {"base_seconds": 10, "cap_seconds": 5},
        {"cap_seconds": 86_401},
        {"base_seconds": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense_cannot_be_written(options):
    with pytest.raises(BadDeclaration, match=next(iter(options))):
        RetryPolicy(**options)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 30 * 24 * 3600 + 1])
def test_retry_later_refuses_a_pause_that_nobody_can_keep(seconds):
    with pytest.raises(ValueError, match="30 days"):
        RetryLater(seconds)


def test_retry_later_keeps_its_seconds_on_the_way_between_processes():
    copy = pickle.loads(pickle.dumps(RetryLater(5, "the relay is busy")))

    assert (copy.seconds, str(copy)) == (5, "the relay is busy")
