"""Addresses, problems and repetitions: what is decided without a socket."""

import json
from datetime import UTC, datetime

import pytest

from taskledger_sdk.http import errors
from taskledger_sdk.http.addresses import base_url_of, is_loopback, path_of
from taskledger_sdk.http.errors import NotConfigured, failure_of
from taskledger_sdk.http.retry_after import seconds_of
from taskledger_sdk.http.retrying import LONGEST_PAUSE, TRIES, Failure, is_repeatable, pause_before_next


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" http://localhost:8000/ ", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://tasks.example.org/api/v1", "https://tasks.example.org"),
        ("https://tasks.example.org/api/v1/", "https://tasks.example.org"),
        ("https://example.org/taskledger/", "https://example.org/taskledger"),
    ],
)
def test_an_address_is_kept_without_what_every_request_adds(given, used):
    assert base_url_of(given) == used


@pytest.mark.parametrize(
    "given",
    ["", "tasks.example.org", "ftp://example.org", "https://", "https://example.org:port", "https://example.org/?a=b"],
)
def test_what_is_no_address_is_refused_with_an_example(given):
    with pytest.raises(NotConfigured):
        base_url_of(given)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(NotConfigured) as refused:
        base_url_of("https://ada:s3cret@example.org")

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "localhost.example.org", "0.0.0.0"])
def test_plain_http_to_another_machine_needs_somebody_who_says_so(host):
    with pytest.raises(NotConfigured, match="--insecure-http"):
        base_url_of(f"http://{host}:8000")

    assert base_url_of(f"http://{host}:8000", may_be_plain=True) == f"http://{host}:8000"


@pytest.mark.parametrize(("host", "is_own"), [("127.9.9.9", True), ("::1", True), ("LOCALHOST.", True), ("::", False)])
def test_loopback_is_this_machine(host, is_own):
    assert is_loopback(host) is is_own


def test_what_varies_in_a_path_stays_one_part():
    assert path_of("workflows", "a/b c?d", "runs") == "/workflows/a%2Fb%20c%3Fd/runs"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.NotAuthenticated),
        (403, errors.NotPermitted),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.NotFound),
        (412, errors.Conflict),
        (415, errors.Invalid),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_a_problem_becomes_an_error_of_its_kind(status, kind):
    problem = {"status": status, "code": "a_code", "detail": "What was wrong.", "errors": {"payload": {"n": ["bad"]}}}
    error = failure_of(status, {"retry-after": "7"}, json.dumps(problem).encode(), url="http://here")

    assert type(error) is kind
    assert (str(error), error.code, error.retry_after) == ("What was wrong.", "a_code", 7.0)
    assert error.field_errors() == [("payload.n", "bad")]


@pytest.mark.parametrize(
    ("status", "content", "may_pass"),
    [(502, b"<html>", True), (404, b"<html>", False), (200, b"<html>", False), (200, b"[1]", False), (301, b"", False)],
)
def test_what_is_not_taskledgers_is_told_from_a_problem(status, content, may_pass):
    error = failure_of(status, {"location": "https://elsewhere"}, content, url="http://here")

    assert isinstance(error, errors.Unreachable)
    assert error.may_pass is may_pass


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("3", 3.0), (" 0 ", 0.0), ("soon", None), ("-1", None), ("Sun, 29 Nov 2026 01:00:10 GMT", 10.0),
     ("Sun, 29 Nov 2026 00:00:00 GMT", 0.0), ("Sun, 29 Nov 2026 01:00:10 -0000", 10.0)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_moment(text, seconds):
    assert seconds_of(text, now=datetime(2026, 11, 29, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("method", "has_key", "repeatable"),
    [("GET", False, True), ("PUT", False, True), ("POST", True, True), ("POST", False, False), ("PATCH", False, False),
     ("DELETE", False, False)],
)  # fmt: skip
def test_only_what_does_the_same_twice_is_repeatable(method, has_key, repeatable):
    assert is_repeatable(method, has_idempotency_key=has_key) is repeatable


def pause(failure, *, tries_made=1, repeatable=True, drawn=0.0):
    return pause_before_next(failure, tries_made=tries_made, repeatable=repeatable, random=lambda: drawn)


@pytest.mark.parametrize(
    ("failure", "repeatable", "is_sent_again"),
    [
        (Failure(status=503), True, True),
        (Failure(status=503), False, False),
        (Failure(status=429), False, True),
        (Failure(status=500), True, False),
        (Failure(status=422), True, False),
        (Failure(was_sent=False), False, True),
        (Failure(was_sent=True), False, False),
        (Failure(was_sent=True), True, True),
        (Failure(status=429, retry_after=LONGEST_PAUSE + 1), True, False),
    ],
)
def test_a_request_is_sent_again_where_that_cannot_do_a_thing_twice(failure, repeatable, is_sent_again):
    assert (pause(failure, repeatable=repeatable) is not None) is is_sent_again


def test_pauses_double_are_drawn_and_end():
    assert [pause(Failure(status=503), tries_made=tries) for tries in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert pause(Failure(status=503), drawn=1.0) == 0.125
    assert pause(Failure(status=503, retry_after=5)) == 5.25
    assert pause(Failure(status=503), tries_made=TRIES) is None
