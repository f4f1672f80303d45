"""Outbound HTTP against real servers: which addresses are refused, what ends at the deadline, what is not passed on."""

import gzip
import socket
import threading
import time

import pytest
from pytest_httpserver import HTTPServer

from taskledger_sdk.errors import PermanentError
from tasks.outbound import AddressRefused, NoAnswer, Outbound
from tests.support.servers.raw_server import RawServer

LOCAL = Outbound(allow="127.0.0.1")
REFUSED = [
    # loopback, in every way of writing it
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.255.255.254/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost.localdomain@127.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    # IPv4 inside IPv6
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    # private, link-local, metadata, shared, reserved
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://0xa9fea9fe/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "https://127.0.0.1/",
]


def headers_of(request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("url", REFUSED)
def test_a_private_or_reserved_address_is_refused_however_it_is_written(url):
    with pytest.raises(PermanentError) as refusal:
        Outbound().send("GET", url, seconds=5)

    assert isinstance(refusal.value, AddressRefused) or "cannot be requested" in str(refusal.value)


def test_at_least_forty_ways_are_tried_and_nearly_all_reach_the_check_of_addresses():
    outcomes = []
    for url in REFUSED:
        with pytest.raises(PermanentError) as refusal:
            Outbound().send("GET", url, seconds=5)
        outcomes.append(type(refusal.value))

    assert outcomes.count(AddressRefused) >= 40


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://127.0.0.1:1/x", "http://", "http://a:99999/", "//x", ""]
)
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(PermanentError, match="cannot be requested"):
        LOCAL.send("GET", url)


def test_a_redirect_to_a_private_address_is_refused(httpserver: HTTPServer):
    httpserver.expect_request("/go").respond_with_data(
        "", 302, {"Location": "http://169.254.169.254/latest/meta-data/"}
    )

    with pytest.raises(AddressRefused, match=r"169\.254\.169\.254"):
        LOCAL.send("GET", httpserver.url_for("/go").replace("localhost", "127.0.0.1"))


def test_a_redirect_from_an_allowed_port_to_another_one_is_refused(httpserver: HTTPServer):
    with RawServer([b"HTTP/1.1 200 OK\r\n\r\ninner"]) as inner:
        httpserver.expect_request("/go").respond_with_data("", 307, {"Location": inner.url})
        outbound = Outbound(allow=f"127.0.0.1:{httpserver.port}")

        with pytest.raises(AddressRefused):
            outbound.send("GET", f"http://127.0.0.1:{httpserver.port}/go")

    assert inner.received == []


def test_a_name_that_changes_its_address_after_the_check_is_not_followed_there(monkeypatch):
    """DNS rebinding: the first answer may be reached, every later one is the server that must not be."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, *arguments, **options):
        if host != "rebind.test":
            return real(host, port, *arguments, **options)
        asked.append(host)
        return real("127.0.0.2" if len(asked) == 1 else "127.0.0.3", port, *arguments, **options)

    with (
        RawServer([b"HTTP/1.1 200 OK\r\n\r\noutside"], host="127.0.0.2") as outside,
        RawServer([b"HTTP/1.1 200 OK\r\n\r\ninside"], host="127.0.0.3", port=outside.port) as inside,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        outbound = Outbound(allow="127.0.0.2")

        first = outbound.send("GET", f"http://rebind.test:{outside.port}/")
        with pytest.raises(AddressRefused):
            outbound.send("GET", f"http://rebind.test:{outside.port}/")

    assert (first.body, inside.received) == (b"outside", [])


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    answers = [(*entry, ("93.184.216.34", 0)), (*entry, ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    with pytest.raises(AddressRefused):
        Outbound().send("GET", "http://mixed.test/")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *[b"x", None] * 2000],
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x", None] * 2000],
        [b"HTTP/1.1 200 OK\r\nX-Slow: ", *[b"x", None] * 2000],
        [*[b"H", None] * 2000],
        [None] * 2000,
    ],
    ids=["body", "body without a length", "header", "status line", "nothing at all"],
)
def test_a_slow_drip_is_stopped_by_the_total_deadline(pieces):
    with RawServer(pieces) as server:
        started = time.monotonic()
        with pytest.raises(NoAnswer, match=r"within 0.4 s"):
            LOCAL.send("GET", server.url, seconds=0.4)

    assert time.monotonic() - started < 3


def test_a_tls_handshake_that_never_ends_is_stopped_too():
    with RawServer([None] * 2000) as server, pytest.raises(NoAnswer, match=r"within 0.4 s"):
        LOCAL.send("GET", server.url.replace("http:", "https:"), seconds=0.4)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])

    with pytest.raises(NoAnswer, match=r"within 0.2 s"):
        Outbound().send("GET", "http://slow.test/", seconds=0.2)

    release.set()


def test_no_timer_or_socket_is_left_behind(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("hello")
    before = threading.active_count()

    for _ in range(5):
        LOCAL.send("GET", f"http://127.0.0.1:{httpserver.port}/", seconds=60)

    assert threading.active_count() <= before + 1


def test_proxy_variables_are_ignored(httpserver: HTTPServer, monkeypatch):
    httpserver.expect_request("/").respond_with_data("direct")
    with RawServer([b"HTTP/1.1 200 OK\r\n\r\nproxied"]) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)

        answer = LOCAL.send("GET", f"http://127.0.0.1:{httpserver.port}/")

    assert (answer.body, proxy.received) == (b"direct", [])


def test_a_netrc_file_is_ignored(httpserver: HTTPServer, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    httpserver.expect_request("/").respond_with_data("ok")

    LOCAL.send("GET", f"http://127.0.0.1:{httpserver.port}/")

    assert "authorization" not in headers_of(httpserver.log[0][0])


def test_another_host_gets_no_credentials_after_a_redirect(httpserver: HTTPServer):
    secrets = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Api-Key": "k", "X-Anything": "else"}
    with RawServer([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], host="127.0.0.2") as other:
        httpserver.expect_request("/go").respond_with_data("", 302, {"Location": other.url})
        outbound = Outbound(allow="127.0.0.0/8")

        outbound.send("GET", f"http://127.0.0.1:{httpserver.port}/go", headers={**secrets, "Idempotency-Key": "1"})

    said = other.received[0].decode().lower()
    assert not any(name.lower() in said for name in secrets)
    assert f"host: 127.0.0.2:{other.port}" in said
    assert "idempotency-key: 1" in said


def test_the_same_host_keeps_them(httpserver: HTTPServer):
    httpserver.expect_request("/go").respond_with_data("", 302, {"Location": "/there"})
    httpserver.expect_request("/there").respond_with_data("ok")

    LOCAL.send("GET", f"http://127.0.0.1:{httpserver.port}/go", headers={"Authorization": "Bearer s"})

    assert headers_of(httpserver.log[1][0])["authorization"] == "Bearer s"


@pytest.mark.parametrize(
    ("status", "method", "becomes", "body"),
    [(301, "POST", "GET", b""), (302, "POST", "GET", b""), (303, "PUT", "GET", b""), (307, "POST", "POST", b"x")],
)
def test_a_redirect_changes_the_method_as_in_browsers(httpserver: HTTPServer, status, method, becomes, body):
    httpserver.expect_request("/go").respond_with_data("", status, {"Location": "/there"})
    httpserver.expect_request("/there").respond_with_data("ok")

    LOCAL.send(method, f"http://127.0.0.1:{httpserver.port}/go", body=b"x")

    arrived = httpserver.log[1][0]
    assert (arrived.method, arrived.get_data()) == (becomes, body)


def test_redirects_in_a_circle_end(httpserver: HTTPServer):
    httpserver.expect_request("/go").respond_with_data("", 302, {"Location": "/go"})

    with pytest.raises(PermanentError, match="redirected more than 5 times"):
        LOCAL.send("GET", f"http://127.0.0.1:{httpserver.port}/go")

    assert len(httpserver.log) == 6


def test_a_long_body_is_cut_and_the_answer_says_so():
    with RawServer([b"HTTP/1.1 200 OK\r\n\r\n", *[b"y" * 65_536] * 2000]) as server:
        answer = LOCAL.send("GET", server.url, most_bytes=100_000)

    assert (len(answer.body), answer.truncated) == (100_000, True)


def test_a_packed_body_is_unpacked_no_further_than_the_limit():
    bomb = gzip.compress(b"\x00" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with RawServer([head, bomb]) as server:
        answer = LOCAL.send("GET", server.url, most_bytes=100_000)

    assert (len(answer.body), answer.truncated) == (100_000, True)


@pytest.mark.parametrize("pieces", [[], [b"garbage\r\n\r\n"], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]])
def test_a_connection_that_breaks_off_is_no_answer(pieces):
    with RawServer(pieces) as server, pytest.raises(NoAnswer):
        LOCAL.send("GET", server.url, seconds=5)


def test_a_closed_port_is_no_answer_and_names_only_host_and_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(NoAnswer) as fault:
        LOCAL.send("GET", f"http://127.0.0.1:{port}/?token=hidden")

    assert str(fault.value) == f"127.0.0.1:{port} gave no answer: Connection refused"


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{port}/"),
        ("127.0.0.0/8", "http://127.0.0.1:{port}/"),
        ("localhost", "http://localhost:{port}/"),
        ("LocalHost:{port}, 10.0.0.0/8", "http://localhost:{port}/"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}/"),
    ],
)
def test_what_the_operator_lists_may_be_reached(httpserver: HTTPServer, allow, url):
    httpserver.expect_request("/").respond_with_data("ok")

    answer = Outbound(allow=allow.format(port=httpserver.port)).send("GET", url.format(port=httpserver.port))

    assert answer.status == 200


def test_a_peer_from_the_settings_is_reached_on_its_own_port_only(httpserver: HTTPServer):
    httpserver.expect_request("/").respond_with_data("ok")
    url = f"http://127.0.0.1:{httpserver.port}/"

    assert Outbound(peers=(url,)).send("GET", url).status == 200
    with pytest.raises(AddressRefused):
        Outbound(peers=(url,)).send("GET", "http://127.0.0.1:1/")


@pytest.mark.parametrize("text", ["http://x/", "10.0.0.0/99", "a b/c", "x:99999", "user@host"])
def test_a_bad_entry_of_the_allow_list_is_named(text):
    with pytest.raises(PermanentError, match="OUTBOUND_ALLOW"):
        Outbound(allow=text).send("GET", "http://example.org/")
