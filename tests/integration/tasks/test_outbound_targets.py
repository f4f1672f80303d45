"""The request line, which holds the URL as it was given; and which of a host's addresses is connected to."""

import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, suppress

import pytest
import requests.adapters

from taskledger_sdk.errors import PermanentError
from tasks.outbound import AddressRefused, NoAnswer, Outbound
from tests.support.servers.raw_server import RawServer

LOCAL = Outbound(allow="127.0.0.0/8,::1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIGNED = (
    "/bucket/a%2Fb/%7Efile.txt?X-Amz-Credential=AK%2f20261128%2Feu&X-Amz-Date=20261128T170000Z"
    "&response-content-disposition=attachment%3B%20filename%3D%22a+b.txt%22&X-Amz-Signature=0aF%3D"
)


def line(url_end: str) -> str:
    """The request line that a server gets for its URL with this end."""
    with RawServer([OK]) as server:
        LOCAL.send("GET", server.url + url_end, seconds=5)
    return server.received[0].split(b"\r\n")[0].decode("ascii")


@pytest.mark.parametrize(
    "target",
    [
        "/%7Euser", "/%7euser", "/a%2fb", "/a%2Fb", "/a/../b", "/./a/.", "//a//b", "/a;b=c/d", "/%zz", "/100%", "/%",
        "/%20%0A", "/?", "/?a=%c3%a9", "/?a=b&a=c&&", "/?q[]=1&q[]=2", "/?f={x|y}", '/"quoted"',
        "/a^b`c<d>", "/*'()!$,:@", "/?redirect=http://a.example/?b=c", "/+a+b", "/?a=~b-c_d.e", "/%E0%A4%A", SIGNED,
    ],
)  # fmt: skip
def test_a_url_is_sent_as_it_was_given(target):
    assert line(target) == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("#part", "/"),
        ("/a#part?b", "/a"),
        ("/grüße?q=日本", "/gr%C3%BC%C3%9Fe?q=%E6%97%A5%E6%9C%AC"),
        ("/😀%7E", "/%F0%9F%98%80%7E"),
        ("/a b", "/a%20b"),
        ("/a\r\nX-Evil: 1", "/a%0D%0AX-Evil:%201"),
    ],
)
def test_what_a_request_line_cannot_hold_is_encoded_and_a_fragment_left_out(given, sent):
    assert line(given) == f"GET {sent} HTTP/1.1"


def test_the_target_takes_no_connection_elsewhere():
    with RawServer([OK]) as wanted, RawServer([OK], host="127.0.0.2", port=wanted.port) as other:
        Outbound(allow="127.0.0.1").send("GET", f"{wanted.url}//127.0.0.2:{other.port}/x", seconds=5)

        for url in (f"http://127.0.0.2:{other.port}/@{wanted.host}", f"http://127.0.0.2\\@127.0.0.1:{other.port}/"):
            with pytest.raises(PermanentError):
                Outbound(allow="127.0.0.1").send("GET", url, seconds=5)

    assert (len(wanted.received), len(other.received)) == (1, 0)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1\\.example.org/", "http://example.org\\@127.0.0.1/", "http:/x", "http:x"]
)
def test_a_url_whose_host_two_readers_see_differently_is_refused(url):
    with pytest.raises(PermanentError):
        LOCAL.send("GET", url, seconds=5)


def resolving(monkeypatch, *addresses: str) -> None:
    """The name several.test has these addresses, in this order."""
    real = socket.getaddrinfo

    def resolve(host, port, *arguments, **options):
        if host != "several.test":
            return real(host, port, *arguments, **options)
        return [entry for address in addresses for entry in real(address, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_where_one_address_refuses_the_next_is_tried(monkeypatch):
    resolving(monkeypatch, "::1", "127.0.0.3", "127.0.0.2")
    with RawServer([OK], host="127.0.0.2") as server:
        answer = LOCAL.send("GET", f"http://several.test:{server.port}/", seconds=5)

    assert (answer.body, len(server.received)) == (b"ok", 1)
    assert f"Host: several.test:{server.port}".encode() in server.received[0]


def test_a_name_of_the_allow_list_is_reached_at_any_of_its_addresses(monkeypatch):
    resolving(monkeypatch, "::1", "127.0.0.1")
    with RawServer([OK]) as server:
        answer = Outbound(allow="several.test").send("GET", f"http://several.test:{server.port}/", seconds=5)

    assert answer.status == 200


def test_where_none_answers_it_says_so(monkeypatch):
    resolving(monkeypatch, "127.0.0.3", "127.0.0.2")

    with pytest.raises(NoAnswer, match=r"several\.test:9 gave no answer: Connection refused"):
        LOCAL.send("GET", "http://several.test:9/", seconds=5)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch):
    resolving(monkeypatch, "127.0.0.3", "127.0.0.2")
    with ExitStack() as closing:
        deaf = closing.enter_context(socket.create_server(("127.0.0.3", 0), backlog=0))
        closing.enter_context(RawServer([OK], host="127.0.0.2", port=port_of(deaf)))
        for _ in range(4):  # its backlog is full after these: connections to it hang
            waiting = closing.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.3", port_of(deaf)))
        answer = LOCAL.send("GET", f"http://several.test:{port_of(deaf)}/", seconds=4)

    assert answer.status == 200


def port_of(listener: socket.socket) -> int:
    return listener.getsockname()[1]


@pytest.mark.parametrize("refused", ["10.0.0.1", "127.0.0.9", "::1", "fd00::1"])
def test_every_address_is_checked_before_any_is_connected_to(monkeypatch, refused):
    resolving(monkeypatch, "127.0.0.2", refused)
    with RawServer([OK], host="127.0.0.2") as server, pytest.raises(AddressRefused):
        Outbound(allow="127.0.0.2").send("GET", f"http://several.test:{server.port}/", seconds=5)

    assert server.received == []


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """For localhost, and trusted."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = [
        "-addext",
        "subjectAltName=DNS:several.test",
        "-keyout",
        tmp_path / "key.pem",
        "-out",
        tmp_path / "cert.pem",
    ]
    subprocess.run([*made, *names], check=True, capture_output=True)
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "cert.pem"))
    return tmp_path


@pytest.mark.parametrize("says_farewell", [True, False])
def test_a_tls_connection_that_was_cut_off_is_no_whole_body(certificate, monkeypatch, says_farewell):
    """A body without a length ends with its connection; TLS tells an end from a cut."""
    resolving(monkeypatch, "127.0.0.3", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n[1, 2")
            with suppress(OSError):  # the client does not wait to answer it
                secure.unwrap() if says_farewell else None

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"https://several.test:{port_of(listener)}/"
    try:
        if says_farewell:
            assert LOCAL.send("GET", url, seconds=5).body == b"[1, 2"
        else:
            with pytest.raises(NoAnswer):
                LOCAL.send("GET", url, seconds=5)
    finally:
        thread.join(5)
        listener.close()
