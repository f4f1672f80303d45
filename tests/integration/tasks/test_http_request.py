"""http_request against a real server: what is a result, what is tried again, what is final."""

import base64
import time
from email.utils import formatdate

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from taskledger_sdk.errors import PayloadRefused, PermanentError, RetryLater
from taskledger_sdk.registry import get_type
from tasks.handlers.http_request import http_request
from tasks.outbound import NoAnswer
from tests.support.fake_task import TASK_ID, FakeTask
from tests.support.servers.raw_server import RawServer


def run(server: HTTPServer, path: str = "/", **payload):
    task = FakeTask(settings={"OUTBOUND_ALLOW": "127.0.0.1"})
    url = f"http://127.0.0.1:{server.port}{path}"
    return http_request(task, get_type("http_request").payload.load({"url": url, **payload}))


def test_the_result_holds_status_headers_body_and_time(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_json({"grüße": "Łódź"}, headers={"X-Kind": "a"})

    result = run(httpserver)

    assert set(result) == {
        "status", "headers", "body", "body_encoding", "truncated", "elapsed_ms", "method", "url", "redirects",
    }  # fmt: skip
    assert (result["status"], result["headers"]["X-Kind"], result["truncated"]) == (200, "a", False)
    assert result["elapsed_ms"] >= 0


def test_a_json_body_and_the_idempotency_key_are_sent(httpserver: HTTPServer):
    httpserver.expect_request("/", method="POST").respond_with_data("ok")

    run(httpserver, method="POST", body={"a": [1, "ü"]})

    arrived = httpserver.log[0][0]
    assert arrived.json == {"a": [1, "ü"]}
    assert arrived.headers["Idempotency-Key"] == str(TASK_ID)


def test_the_callers_own_key_and_type_win(httpserver: HTTPServer):
    httpserver.expect_request("/", method="PUT").respond_with_data("ok")

    run(httpserver, method="PUT", body="<a/>", headers={"idempotency-key": "mine", "content-type": "text/xml"})

    headers = httpserver.log[0][0].headers
    assert (headers.getlist("Idempotency-Key"), headers.getlist("Content-Type")) == (["mine"], ["text/xml"])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_overload_and_server_errors_are_tried_again(httpserver: HTTPServer, status):
    httpserver.expect_request("/").respond_with_data("", status)

    with pytest.raises(NoAnswer, match=f"answered {status}; expected 200 to 299"):
        run(httpserver)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [({"Retry-After": "120"}, 120), ({"Retry-After": "0"}, 0), ({"Retry-After": "999999999"}, 86400)],
)
def test_retry_after_is_honoured_up_to_a_day(httpserver: HTTPServer, said, seconds):
    httpserver.expect_request("/").respond_with_data("", 503, said)

    with pytest.raises(RetryLater) as pause:
        run(httpserver)

    assert pause.value.seconds == seconds


def test_retry_after_as_a_date_counts_by_the_servers_clock():
    now = time.time() - 100_000  # the server's clock is a day slow
    dates = f"Date: {formatdate(now, usegmt=True)}\r\nRetry-After: {formatdate(now + 90, usegmt=True)}\r\n"

    with (
        RawServer([f"HTTP/1.1 429 Busy\r\n{dates}Content-Length: 0\r\n\r\n".encode()]) as server,
        pytest.raises(RetryLater) as pause,
    ):
        run(server)

    assert pause.value.seconds == 90


def test_a_retry_after_that_makes_no_sense_is_left_to_the_policy(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("", 503, {"Retry-After": "soon"})

    with pytest.raises(NoAnswer):
        run(httpserver)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_other_statuses_that_are_not_expected_are_final(httpserver: HTTPServer, status):
    httpserver.expect_request("/").respond_with_data("", status)

    with pytest.raises(PermanentError, match=f"answered {status}"):
        run(httpserver)


@pytest.mark.parametrize("status", [404, 503, 302])
def test_an_expected_status_is_a_result_whatever_it_is(httpserver: HTTPServer, status):
    httpserver.expect_request("/").respond_with_data("", status)

    assert run(httpserver, expected_status=[status])["status"] == status


def test_an_expected_status_excludes_the_others(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("", 200)

    with pytest.raises(PermanentError, match="answered 200; expected 201, 202"):
        run(httpserver, expected_status=[201, 202])


@pytest.mark.parametrize(
    ("body", "kind", "text", "encoding"),
    [
        ("Łódź €".encode(), "text/plain", "Łódź €", "text"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é", "text"),
        (b"\x89PNG\x00\xff", "image/png", base64.b64encode(b"\x89PNG\x00\xff").decode(), "base64"),
        (b"a\x00b", "text/plain", base64.b64encode(b"a\x00b").decode(), "base64"),
        (b"plain", "text/plain; charset=zlib", "plain", "text"),
        (b"plain", 'text/plain; charset="no-such"', "plain", "text"),
        (rb"\ud800", "text/plain; charset=unicode_escape", base64.b64encode(rb"\ud800").decode(), "base64"),
    ],
)
def test_the_body_is_text_where_it_can_be(httpserver: HTTPServer, body, kind, text, encoding):
    httpserver.expect_request("/").respond_with_response(Response(body, 200, {"Content-Type": kind}))

    result = run(httpserver)

    assert (result["body"], result["body_encoding"]) == (text, encoding)


def test_a_long_body_is_cut_even_within_a_character(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data(b"x" + "€".encode() * 100_000)

    result = run(httpserver)

    assert (result["truncated"], result["body_encoding"]) == (True, "text")
    assert 131_060 < len(result["body"].encode()) <= 131_072


def test_credentials_in_the_answer_are_not_kept(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("", headers={"Set-Cookie": "session=abc", "ETag": '"1"'})

    headers = run(httpserver)["headers"]

    assert (headers["Set-Cookie"], headers["ETag"]) == ("[redacted]", '"1"')


def test_a_server_that_drops_the_connection_is_tried_again():
    with RawServer([]) as server, pytest.raises(NoAnswer):
        run(server)


def test_the_timeout_of_the_payload_covers_everything():
    drip = [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", *[b"x", None] * 500]

    with RawServer(drip) as server, pytest.raises(NoAnswer, match=r"within 0.3 s"):
        run(server, timeout=0.3)


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "ftp://example.org/"},
        {"url": "http://user:password@example.org/"},
        {"url": "http://example.org\\@127.0.0.1/"},
        {"url": "http://example.org/ HTTP/1.1\r\nX: y"},
        {"url": "http://example.org:65536/"},
        {"url": "http://[::1"},
        {"method": "TRACE"},
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"headers": {"X A": "1"}},
        {"headers": {"Host": "inner"}},
        {"headers": {"content-length": "0"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Proxy-Authorization": "x"}},
        {"timeout": 0},
        {"timeout": 121},
        {"expected_status": [99]},
        {"unknown": 1},
        {"follow_redirects": "no"},
        {"body_encoding": "base64"},
        {"body_encoding": "base64", "body": {"a": 1}},
        {"body_encoding": "base64", "body": "é"},
        {"body_encoding": "base64", "body": "abc"},
        {"body_encoding": "hex", "body": "00"},
    ],
)
def test_a_bad_payload_is_refused_at_submission(changed):
    with pytest.raises(PayloadRefused):
        get_type("http_request").payload.load({"url": "https://example.org/", **changed})
