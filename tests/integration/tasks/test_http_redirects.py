"""What a redirect does to an http_request, and what the result tells of it."""

import json

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from taskledger_sdk.errors import PermanentError
from taskledger_sdk.registry import get_type
from tasks.handlers.http_request import http_request
from tasks.outbound import Outbound
from tests.support.fake_task import FakeTask
from tests.support.servers.raw_server import RawServer


def run(url: str, **payload):
    task = FakeTask(settings={"OUTBOUND_ALLOW": "127.0.0.0/8"})
    return http_request(task, get_type("http_request").payload.load({"url": url, **payload}))


@pytest.fixture
def base(httpserver: HTTPServer) -> str:
    """A server whose /301 to /308 lead to /there."""
    for status in (301, 302, 303, 307, 308):
        httpserver.expect_request(f"/{status}").respond_with_data("moved", status, {"Location": "/there?token=abc"})
    httpserver.expect_request("/there").respond_with_data("arrived")
    return f"http://127.0.0.1:{httpserver.port}"


def test_without_a_redirect_the_result_names_the_request_itself(base):
    result = run(f"{base}/there", method="PUT", body="x")

    assert (result["method"], result["url"], result["redirects"]) == ("PUT", f"{base}/there", [])


@pytest.mark.parametrize("status", [301, 302])
def test_a_redirect_that_would_make_a_post_a_get_is_refused(base, httpserver: HTTPServer, status):
    with pytest.raises(PermanentError, match=f"the POST with {status} .* would become a GET without its body"):
        run(f"{base}/{status}", method="POST", body={"pay": 1})

    assert [request.path for request, _ in httpserver.log] == [f"/{status}"]


@pytest.mark.parametrize(
    ("method", "status", "last"),
    [
        ("GET", 301, "GET"), ("GET", 302, "GET"), ("HEAD", 303, "HEAD"), ("POST", 303, "GET"), ("PUT", 303, "GET"),
        ("DELETE", 303, "GET"), ("POST", 307, "POST"), ("POST", 308, "POST"), ("PUT", 301, "PUT"),
        ("DELETE", 302, "DELETE"), ("PATCH", 308, "PATCH"),
    ],
)  # fmt: skip
def test_the_result_tells_what_was_followed_and_how(base, httpserver: HTTPServer, method, status, last):
    body = None if method in ("GET", "HEAD") else {"a": 1}

    result = run(f"{base}/{status}", method=method, body=body)

    hidden = f"{base}/there?token=[redacted]"
    hop = {"method": method, "url": f"{base}/{status}", "status": status, "location": hidden}
    assert (result["status"], result["method"], result["url"], result["redirects"]) == (200, last, hidden, [hop])
    arrived = httpserver.log[1][0]
    assert (arrived.method, arrived.full_path) == (last, "/there?token=abc")
    assert arrived.get_data() == (json.dumps(body, separators=(",", ":")).encode() if body and last == method else b"")


def test_several_hops_are_told_in_their_order(httpserver: HTTPServer):
    base = f"http://127.0.0.1:{httpserver.port}"
    httpserver.expect_request("/a").respond_with_data("", 302, {"Location": "/b"})
    httpserver.expect_request("/b").respond_with_data("", 307, {"Location": f"{base}/c"})
    httpserver.expect_request("/c").respond_with_data("end")

    result = run(f"{base}/a")

    hops = [(hop["url"], hop["status"], hop["location"]) for hop in result["redirects"]]
    assert hops == [(f"{base}/a", 302, f"{base}/b"), (f"{base}/b", 307, f"{base}/c")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_expected_redirect_is_the_answer_and_not_followed(base, httpserver: HTTPServer, status):
    result = run(f"{base}/{status}", method="POST", expected_status=[status])

    assert (result["status"], result["body"], result["redirects"]) == (status, "moved", [])
    assert result["headers"]["Location"].endswith("/there?token=[redacted]")
    assert len(httpserver.log) == 1


def test_a_redirect_that_is_not_among_the_expected_ones_is_followed(base):
    assert run(f"{base}/307", expected_status=[200, 302])["redirects"][0]["status"] == 307


def test_follow_redirects_false_makes_a_redirect_an_unexpected_answer(base, httpserver: HTTPServer):
    with pytest.raises(PermanentError, match="answered 303; expected 200 to 299"):
        run(f"{base}/303", method="POST", follow_redirects=False)

    assert len(httpserver.log) == 1


def test_follow_redirects_false_and_an_expected_redirect_fit_together(base):
    assert run(f"{base}/303", follow_redirects=False, expected_status=[303])["status"] == 303


def test_a_redirect_without_a_location_is_an_answer(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_response(Response("", 302))

    assert run(f"http://127.0.0.1:{httpserver.port}/", expected_status=[302])["status"] == 302


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("http://127.0.0.1:{port}/a/../b?sig=%7e%2f#part", "/a/../b?sig=%7e%2f"),
        ("HTTP://127.0.0.1:{port}/x?", "/x?"),
        ("//127.0.0.1:{port}/x%2Fy", "/x%2Fy"),
        ("/signed?a=b%2fc&d=%7E", "/signed?a=b%2fc&d=%7E"),
        ("next", "/dir/next"),
        ("?page=2", "/dir/go?page=2"),
        ("/grüße", "/gr%C3%BC%C3%9Fe"),
        (" /spaced ", "/spaced"),
    ],
)
def test_a_location_is_asked_for_as_the_server_gave_it(location, asked):
    with RawServer([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]) as end:
        text = location.format(port=end.port)
        head = f"HTTP/1.1 307 Go\r\nLocation: {text}\r\nContent-Length: 0\r\n\r\n".encode()
        is_here = "127.0.0.1" not in location
        with RawServer([head]) as start:
            outbound = Outbound(allow="127.0.0.0/8")
            if is_here:
                with pytest.raises(PermanentError, match="redirected more than 1 times"):
                    outbound.send("GET", f"{start.url}/dir/go", redirects=1)
                said = start.received[1]
            else:
                outbound.send("GET", f"{start.url}/dir/go")
                said = end.received[0]

    assert said.split(b"\r\n")[0].decode() == f"GET {asked} HTTP/1.1"
