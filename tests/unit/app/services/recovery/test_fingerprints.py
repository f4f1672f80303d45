"""Fingerprints: what splits dead letters into causes, and what does not."""

import time

import pytest

from app.services.recovery.fingerprints import fingerprint_of, without_values


def fingerprint(message: str, traceback: str | None = None) -> str:
    return fingerprint_of("ValueError", message, traceback)


def raised_in(function: str, line: int = 7) -> str:
    return (
        "Traceback (most recent call last):\n"
        '  File "/srv/app/worker/attempt.py", line 40, in run\n    call()\n'
        f'  File "/srv/acme/orders.py", line {line}, in {function}\n    raise\nKeyError: 1\n'
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("row 17 is bad", "row 4 is bad", id="numbers"),
        pytest.param("amount -17.50 is below 0", "amount 3 is below 0", id="signs"),
        pytest.param("x=1.5e-10", "x=2", id="exponents"),
        pytest.param("took 3.5s", "took 12s", id="units"),
        pytest.param("1,234,567 rows", "5 rows", id="thousands"),
        pytest.param("at 2026-11-03T10:00:01+00:00", "at 2025-01-01 00:00:00", id="moments"),
        pytest.param("no task 01a20187-e99f-7588-b4c3-6d36409e4538", "no task 17", id="uuid"),
        pytest.param("charge ch_3PqAb8 declined", "charge ch_9ZZ1 declined", id="id-of-another-system"),
        pytest.param("no SKU-0042", "no SKU-17", id="number-of-an-article"),
        pytest.param("etag deadbeefdeadbeef gone", "etag cafecafecafecafecafe gone", id="hexadecimal"),
        pytest.param("<Order object at 0x7f3a>", "<Order object at 0x1B>", id="memory"),
        pytest.param("connect to 10.0.0.7:5432", "connect to 192.168.1.1:5433", id="ipv4"),
        pytest.param("connect to 10.0.0.7:5432", "connect to [2001:db8::1]:5432", id="ipv6"),
        pytest.param("connect to db-7.internal:5432", "connect to 10.0.0.7:1", id="host-and-port"),
        pytest.param("link of 00:1a:2b:3c:4d:5e", "link of 66-77-88-99-aa-bb", id="mac"),
        pytest.param("GET https://a.example/x?y=1 failed", "GET http://b.example failed", id="url"),
        pytest.param("ada@example.org bounced", "j.van-der-berg+x@b.example.com bounced", id="mail"),
        pytest.param("no file /var/lib/x/y.csv", "no file ../data/z", id="path"),
        pytest.param("no customer 'Ada'", "no customer 'O\\'Brien, Pat'", id="single-quotes"),
        pytest.param('no customer "Ada"', "no customer 'Grace'", id="double-quotes"),
        pytest.param("no customer \u201cAda\u201d", "no customer \u00abGrace\u00bb", id="typographic-quotes"),
        pytest.param("no column `a`", "no column `b c`", id="backticks"),
        pytest.param("b'abc' is no JSON", "b'\\x00' is no JSON", id="bytes"),
        pytest.param("one of [1, 2, 3] is missing", "one of [4] is missing", id="lists"),
        pytest.param("not 'a', 'b' and 'c'", "not 'd'", id="enumerations"),
        pytest.param("a\n  b 1", "a b 2", id="blanks"),
        pytest.param("'Ada'", "'Grace'", id="nothing-but-a-value"),
    ],
)
def test_messages_that_differ_in_values_have_one_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other), (without_values(one), without_values(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 is bad", "column 17 is bad"),
        ("row 17 is bad", "row seventeen is bad"),
        ("no customer 'Ada'", "no supplier 'Ada'"),
        ("can't open the file: it's gone", "can't open the file: it's locked"),
        ("the server's disk is full", "the server's memory is full"),
        ("payload.items.0.name is missing", "payload.items.0.price is missing"),
        ("std::bad_alloc", "std::range_error"),
        ("timeout", "refused"),
    ],
)
def test_messages_with_other_words_have_other_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_a_message_that_is_nothing_but_a_value_counts_with_the_function_that_raised():
    assert fingerprint("'Ada'", raised_in("charge")) == fingerprint("'Grace'", raised_in("charge", line=99))
    assert fingerprint("'Ada'", raised_in("charge")) != fingerprint("'Ada'", raised_in("ship"))


def test_where_a_message_tells_the_cause_the_place_does_not_count():
    assert fingerprint("no customer 'Ada'", raised_in("charge")) == fingerprint("no customer 'Ada'", raised_in("ship"))


@pytest.mark.parametrize(
    "piece", ["'", "a.", "::", "/a", "a@", "-a", "'\\", "a-", "a:", "'a", '"a', "\u201c", "1.", "[("]
)
def test_a_message_made_to_be_slow_is_not(piece):
    began = time.process_time()

    fingerprint(piece * (2_000 // len(piece)))

    assert time.process_time() - began < 0.5
