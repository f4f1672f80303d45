"""What of a request has arrived: by whom it is answered, when nothing more is waited for, and whose it is."""

import pytest

from app.server.deadlines import GRACE_SECONDS, HEAD_SECONDS, MIN_RATE
from app.server.request import FIRST_OF_LARGE, MAX_HEAD, SMALL_BODY, Incoming, Kind, Unacceptable

NOW = 1_000.0
POST = b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: Chunked\r\n\r\n"


def arrived(data: bytes) -> Incoming:
    incoming = Incoming(NOW)
    incoming.add(data, NOW)
    return incoming


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Kind.SHORT),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", Kind.LIVE),
        (b"HEAD /health/live?x=1 HTTP/1.0\r\n\r\n", Kind.LIVE),
        (b"GET /health/ready HTTP/1.1\r\n\r\n", Kind.HEALTH),
        (b"GET /metrics HTTP/1.1\r\n\r\n", Kind.HEALTH),
        (b"GET /health/lives HTTP/1.1\r\n\r\n", Kind.SHORT),
        (b"GET / HTTP/1.1\r\nHost: x", None),
        (b"GET / HTTP/1.1\nHost: x\n", Kind.SHORT),  # refused by who reads it
        (b"nonsense\r\n\r\n", Kind.SHORT),
        (POST + b"content-LENGTH:3\r\n\r\nab", None),
        (POST + b"content-LENGTH:3\r\n\r\nabc", Kind.SHORT),
        (POST + b"Content-Length: 3\r\n\r\nabcGET / HTTP", Kind.SHORT),
        (POST + b"Content-Length: -3\r\n\r\n", Kind.SHORT),
        (CHUNKED, None),
        (CHUNKED + b"3\r\nabc\r\n", None),
        (CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n", Kind.SHORT),
        (CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n", None),
        (CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n", Kind.SHORT),
        (CHUNKED + b"wrong\r\n", Kind.SHORT),
        (CHUNKED + b"f" * 5_000, Kind.SHORT),
        (POST + b"Content-Length: %d\r\n\r\n" % (SMALL_BODY + 1), None),
        (POST + b"Content-Length: %d\r\n\r\n" % (SMALL_BODY + 1) + b"x" * FIRST_OF_LARGE, Kind.LARGE),
        (POST + b"Content-Length: %d\r\n\r\n" % SMALL_BODY + b"x" * FIRST_OF_LARGE, None),
    ],
)
def test_who_answers(data, kind):
    assert arrived(data).kind(NOW) is kind


@pytest.mark.parametrize("piece", [1, 2, 5])
def test_it_does_not_matter_in_which_pieces_it_comes(piece):
    whole = CHUNKED + b"a\r\n0123456789\r\n0\r\nA: b\r\n\r\n"
    incoming = Incoming(NOW)
    kinds = []
    for at in range(0, len(whole), piece):
        incoming.add(whole[at : at + piece], NOW)
        kinds.append(incoming.kind(NOW))

    assert kinds == [None] * (len(kinds) - 1) + [Kind.SHORT]


def test_a_head_has_ten_seconds_whatever_of_it_comes():
    incoming = arrived(b"GET / HTTP/1.1\r\n")
    incoming.add(b"A: b\r\n", NOW + 9)

    assert incoming.deadline == NOW + HEAD_SECONDS


def test_a_body_has_time_for_as_long_as_it_comes_at_the_least_rate():
    incoming = arrived(POST + b"Content-Length: 1000000\r\n\r\n")
    assert incoming.kind(NOW) is None
    for second in range(1, 200):
        incoming.add(b"x" * MIN_RATE, NOW + second)

    assert incoming.deadline == NOW + 199 + GRACE_SECONDS


def test_a_body_that_comes_at_half_of_that_rate_has_twice_the_grace():
    incoming = arrived(POST + b"Content-Length: 1000000\r\n\r\n")
    assert incoming.kind(NOW) is None
    second = 0
    while incoming.deadline > NOW + second:
        second += 1
        incoming.add(b"x" * (MIN_RATE // 2), NOW + second)

    assert second == pytest.approx(2 * GRACE_SECONDS, abs=1)


def test_a_head_that_is_too_large_is_not_waited_for():
    with pytest.raises(Unacceptable) as refused:
        arrived(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * MAX_HEAD).kind(NOW)

    assert (refused.value.status, refused.value.code) == (431, "head_too_large")


def test_a_client_that_was_asked_to_go_on_is_not_asked_again():
    incoming = arrived(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert incoming.kind(NOW) is None
    assert incoming.expects
    incoming.was_asked()
    incoming.add(b"abc", NOW)

    assert incoming.kind(NOW) is Kind.SHORT
    assert bytes(incoming.arrived) == POST + b"Content-Length: 3\r\n\r\nabc"
    assert not incoming.expects


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", b"", "192.0.2.1"),
        ("192.0.2.1", b"X-Forwarded-For: 198.51.100.9\r\n", "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", b"X-Forwarded-For: 203.0.113.5, 198.51.100.9\r\n", "198.51.100.9"),
        ("10.0.0.1", b"x-forwarded-for: 203.0.113.5\r\nX-Forwarded-For: 10.0.0.2\r\n", "203.0.113.5"),
        ("2001:db8::1", b"", "2001:db8::/64"),
    ],
)
def test_whose_it_is(peer, forwarded, expected):
    incoming = arrived(b"GET / HTTP/1.1\r\n" + forwarded + b"\r\n")
    incoming.kind(NOW)

    assert incoming.caller(peer, ("10.0.0.0/8",)).address == expected


def test_credentials_tell_accounts_apart():
    callers = []
    for header in (b"", b"Authorization: Bearer a\r\n", b"AUTHORIZATION:Bearer b\r\n", b"Authorization: Bearer a\r\n"):
        incoming = arrived(b"GET / HTTP/1.1\r\n" + header + b"\r\n")
        incoming.kind(NOW)
        callers.append(incoming.caller("192.0.2.1", ()).account)

    assert callers[0] is None
    assert callers[1] == callers[3]
    assert len(set(callers)) == 3
