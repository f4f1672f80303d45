"""Bodies that were cut off, on every way that HTTP has to say where one ends; and answers before the answer."""

import gzip
import json
import zlib

import brotli
import pytest

from tasks.outbound import NoAnswer, Outbound
from tests.support.servers.raw_server import RawServer

LOCAL = Outbound(allow="127.0.0.1")
TEXT = json.dumps([{"id": number, "name": f"row {number}"} for number in range(2_000)]).encode()


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare_deflate,
    "br": brotli.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data, mtime=0)),
    "identity, GZIP": gzip.compress,
}


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


def chunked(data: bytes, size: int = 1_000) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def send(*pieces: bytes, method: str = "GET", **options):
    with RawServer(pieces) as server:
        return LOCAL.send(method, server.url, seconds=5, **options)


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_a_whole_packed_body_is_unpacked(packing, framing):
    packed = PACKERS[packing](TEXT)
    said, body = {
        "length": ([f"Content-Length: {len(packed)}"], packed),
        "chunks": (["Transfer-Encoding: chunked"], chunked(packed)),
        "close": ([], packed),
    }[framing]

    assert send(head(f"Content-Encoding: {packing}", *said), body).body == TEXT


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100, "half", "all but one", "all"])
def test_a_packed_body_that_was_cut_off_is_no_answer(packing, missing):
    packed = PACKERS[packing](TEXT)
    kept = {"half": len(packed) // 2, "all but one": 1, "all": 0}.get(missing)
    cut = packed[: len(packed) - missing if kept is None else kept]

    with pytest.raises(NoAnswer, match=r"ends too early|not packed as"):
        send(head(f"Content-Encoding: {packing}"), cut)


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br"])
def test_a_cut_that_the_length_agrees_with_is_found_too(packing):
    """As a proxy makes it that stored the half of a body, and says how long that is."""
    cut = PACKERS[packing](TEXT)[:-20]

    for said, body in [(f"Content-Length: {len(cut)}", cut), ("Transfer-Encoding: chunked", chunked(cut))]:
        with pytest.raises(NoAnswer, match="ends too early"):
            send(head(f"Content-Encoding: {packing}", said), body)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("Content-Length: 100", b"x" * 99),
        ("Content-Length: 100", b""),
        ("Transfer-Encoding: chunked", b""),
        ("Transfer-Encoding: chunked", b"5\r\nhel"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n5"),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\nzz\r\n"),
        ("Content-Length: many", b"hello"),
        ("Content-Length: 1_0", b"hello worl"),
        ("Content-Length: 5, 6", b"hello"),
        ("Transfer-Encoding: gzip, chunked", chunked(gzip.compress(b"hello", mtime=0))),
    ],
)
def test_a_body_that_does_not_end_as_it_was_announced_is_no_answer(said, body):
    with pytest.raises(NoAnswer):
        send(head(said), body)


@pytest.mark.parametrize("part", [b"", b"Content-Ty", b"A: b\r\n"])
def test_headers_that_were_cut_off_are_no_answer(part):
    with pytest.raises(NoAnswer):
        send(b"HTTP/1.1 200 OK\r\n" + part)


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_an_empty_body_may_be_said_to_be_packed(status):
    assert send(head("Content-Encoding: gzip", "Content-Length: 0", status=status)).body == b""


def test_the_answer_to_head_has_no_body_whatever_its_headers_say():
    assert send(head("Content-Encoding: gzip", "Content-Length: 500"), method="HEAD").body == b""


def test_several_members_and_padding_are_read_as_gzip_has_them():
    packed = gzip.compress(b"one ", mtime=0) + gzip.compress(b"two") + bytes(512)

    assert send(head("Content-Encoding: gzip"), *(packed[at : at + 1] for at in range(len(packed)))).body == b"one two"


def test_a_second_member_that_was_cut_off_is_found():
    with pytest.raises(NoAnswer, match="ends too early"):
        send(head("Content-Encoding: gzip"), gzip.compress(b"one ", mtime=0) + gzip.compress(b"two")[:-3])


def test_what_is_damaged_is_no_answer():
    packed = bytearray(gzip.compress(TEXT, mtime=0))
    packed[len(packed) // 2] ^= 255

    with pytest.raises(NoAnswer, match="not packed as gzip"):
        send(head("Content-Encoding: gzip"), bytes(packed))


def test_a_packing_that_is_not_known_is_left_as_it_is():
    assert send(head("Content-Encoding: gzip, rot13", "Content-Length: 3"), b"abc").body == b"abc"


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br"])
def test_nothing_is_unpacked_further_than_the_limit(packing):
    bomb = PACKERS[packing](bytes(30_000_000))

    answer = send(head(f"Content-Encoding: {packing}", f"Content-Length: {len(bomb)}"), bomb, most_bytes=100_000)

    assert (len(answer.body), answer.truncated) == (100_000, True)


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Anything"])
def test_interim_answers_are_passed_over(status):
    hints = head("Link: </style.css>; rel=preload", status=status)

    answer = send(hints, hints + head("Content-Length: 5"), b"hello")

    assert (answer.status, answer.body, "Link" in answer.headers) == (200, b"hello", False)


def test_interim_answers_without_an_end_are_no_answer():
    with pytest.raises(NoAnswer, match="interim"):
        send(*[head(status="103 Early Hints")] * 200)
