"""Headers that protect every answer: added where it says nothing of its own."""

import pytest

from app.answer_headers import ALWAYS, protected

JSON = ("Content-Type", "application/json")


def told(headers, *, is_api=False, is_secure=False) -> dict[str, str]:
    return dict(protected(headers, is_api=is_api, is_secure=is_secure))


def test_every_answer_has_the_protecting_headers_and_keeps_its_own():
    assert told([JSON]) == dict([JSON, *ALWAYS])


def test_what_an_answer_says_itself_is_not_said_twice():
    headers = protected([("content-security-policy", "script-src 'self'")], is_api=False, is_secure=False)

    said = [value for name, value in headers if name.lower() == "content-security-policy"]
    assert said == ["script-src 'self'"]


def test_only_an_encrypted_connection_promises_to_stay_so():
    assert "Strict-Transport-Security" not in told([])
    assert told([], is_secure=True)["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("vary", "whole"),
    [
        (None, "Authorization"),
        ("Accept", "Accept, Authorization"),
        ("Accept, authorization", "Accept, authorization"),
    ],
)
def test_an_answer_of_the_api_belongs_to_its_caller(vary, whole):
    headers = told([("Vary", vary)] if vary else [], is_api=True)

    assert (headers["Vary"], headers["Cache-Control"]) == (whole, "private, no-cache")


def test_a_page_says_nothing_of_caches_and_callers():
    assert not {"Vary", "Cache-Control"} & set(told([]))
