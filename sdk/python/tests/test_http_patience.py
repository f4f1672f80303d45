"""How long a request is tried again: by tries, by time, and whether a quota is waited for."""

import time

import pytest

from taskledger_sdk.client.operations import wait_for_task
from taskledger_sdk.http.calls import Call, Tries
from taskledger_sdk.http.errors import QuotaReached, RateLimited, Refused, Unavailable, Unreachable, copy_of, refusal_of
from taskledger_sdk.http.retrying import LONGEST_BACKOFF, Patience

AWAY = Unreachable("away")
FOR_A_MINUTE = Patience(tries=None, seconds=60, waits_for_room=False)


def tries(patience: Patience, *, took: float = 0.0, since: float | None = None) -> Tries:
    """Of a read; each look at the clock is `took` seconds after the one before."""
    moments = iter(100 + number * took for number in range(10_000))
    call = Call(method="GET", path="/tasks", since=since)
    return Tries(call, patience, random=lambda: 0.0, clock=lambda: next(moments))


def test_by_time_it_is_tried_with_growing_pauses_that_have_a_bound():
    of_a_read = tries(FOR_A_MINUTE)
    pauses = [of_a_read.pause_after(AWAY) for _ in range(8)]
    assert pauses == [0.25, 0.5, 1, 2, 4, LONGEST_BACKOFF, LONGEST_BACKOFF, LONGEST_BACKOFF]


@pytest.mark.parametrize("took", [1.0, 10.0])
def test_the_last_try_begins_within_the_time(took):
    of_a_read = tries(FOR_A_MINUTE, took=took)
    made = 1
    while of_a_read.pause_after(AWAY) is not None:
        made += 1
    assert (60 - LONGEST_BACKOFF) / took - 1 <= made <= 60 / took + 1


def test_the_time_counts_from_when_the_caller_came():
    assert tries(FOR_A_MINUTE, since=41).pause_after(AWAY) == 0.25
    assert tries(FOR_A_MINUTE, since=39).pause_after(AWAY) is None


def test_a_long_poll_that_falls_silent_is_asked_again():
    poll = next(wait_for_task("01990000-0000-7000-8000-000000000000", None))
    assert isinstance(poll, Call)
    now = [time.monotonic()]
    of_the_poll = Tries(poll, FOR_A_MINUTE, random=lambda: 0.0, clock=lambda: now[0])

    now[0] += poll.seconds

    assert of_the_poll.pause_after(AWAY) == 0.25


def test_a_quota_is_waited_for_only_by_those_who_say_so():
    quota = refusal_of({"code": "quota_reached"}, 429, retry_after=2)
    assert isinstance(quota, QuotaReached)
    assert tries(FOR_A_MINUTE).pause_after(quota) is None
    assert tries(Patience()).pause_after(quota) == 2.25


def test_a_rate_limit_is_waited_for_unless_that_is_long():
    assert tries(FOR_A_MINUTE).pause_after(refusal_of({"code": "too_many_requests"}, 429, retry_after=3)) == 3.25
    assert tries(FOR_A_MINUTE).pause_after(refusal_of({"code": "too_many_requests"}, 429, retry_after=30)) is None


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("too_many_requests", 429, RateLimited), ("quota_reached", 429, QuotaReached), ("new", 503, Unavailable)],
)
def test_a_copy_says_the_same(code, status, kind):
    error = refusal_of({"code": code, "detail": "No.", "errors": {"a": ["b"]}}, status, retry_after=1)
    other = copy_of(error)
    assert other is not error
    assert type(other) is type(error) is kind
    assert isinstance(other, Refused)
    assert (str(other), other.code, other.errors, other.retry_after) == ("No.", code, {"a": ["b"]}, 1)
