"""Packed bodies of HTTP, unpacked piece by piece, and found out when they were cut off or hold something else."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # nobody publishes types

PIECE_BYTES = 65_536  # so much is unpacked at once, however little it was packed
MAX_ENCODINGS = 5
GZIP_BEGINS = b"\x1f\x8b"
GZIP, ZLIB, RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS  # for zlib.decompressobj


class BadlyPacked(ValueError):
    """The body ends before its packing does, or is not packed as its Content-Encoding says."""


class _Unpacker(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes unpack to, in pieces of PIECE_BYTES at most."""

    @property
    def finished(self) -> bool:
        """Whether the packed content has come to its own end."""


def encodings_of(header: str) -> tuple[str, ...]:
    """What a Content-Encoding names, in the order of packing; nothing where one of it is unknown: then it stays packed.

    Raises BadlyPacked for more than any server has a reason for.
    """
    names = [name for part in header.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > MAX_ENCODINGS:
        raise BadlyPacked(f"its body is packed {len(names)} times; at most {MAX_ENCODINGS} are unpacked")
    return tuple(names) if all(name in UNPACKERS for name in names) else ()


def unpacked(pieces: Iterable[bytes], encodings: Sequence[str], *, may_be_empty: bool) -> Iterator[bytes]:
    """The pieces of a body without its packing; `may_be_empty` accepts no bytes at all, as servers pack nothing so.

    Raises BadlyPacked while it is read, at the latest at the end. Whoever stops reading before learns nothing.
    """
    for name in reversed(encodings):
        pieces = _through(pieces, name, may_be_empty=may_be_empty)
    return iter(pieces)


def _through(pieces: Iterable[bytes], name: str, *, may_be_empty: bool) -> Iterator[bytes]:
    unpacker, begun = UNPACKERS[name](), False
    try:
        for piece in pieces:
            begun = begun or bool(piece)
            yield from unpacker.feed(piece)
    except (zlib.error, brotli.error) as error:
        raise BadlyPacked(f"its body is not packed as {name}: {error}") from None
    if not unpacker.finished and (begun or not may_be_empty):
        raise BadlyPacked(f"its body, packed as {name}, ends too early")


class _Inflate:
    """One stream of zlib's; what follows it is left in `rest`."""

    def __init__(self, bits: int) -> None:
        self._stream = zlib.decompressobj(bits)

    @property
    def finished(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        while not self._stream.eof:
            piece = self._stream.decompress(data, PIECE_BYTES)
            data = self._stream.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE_BYTES:
                return


class _Gzip:
    """Members one after the other (RFC 1952, 2.2), with zeros between; what else follows a whole member is ignored."""

    def __init__(self) -> None:
        self._member = _Inflate(GZIP)
        self._held = b""
        self._ignores = False

    @property
    def finished(self) -> bool:
        return self._member.finished

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, self._held = self._held + data, b""
        while data and not self._ignores:
            if self._member.finished:
                data = data.lstrip(b"\0")
                if len(data) < len(GZIP_BEGINS):  # too little to tell
                    self._held = data
                    return
                self._ignores = not data.startswith(GZIP_BEGINS)
                self._member = self._member if self._ignores else _Inflate(GZIP)
            yield from self._member.feed(data)
            data = self._member.rest


class _Deflate:
    """zlib's format as RFC 9110 has it, or the bare stream that many servers send instead."""

    def __init__(self) -> None:
        self._stream: _Inflate | None = None
        self._held = b""

    @property
    def finished(self) -> bool:
        return self._stream is not None and self._stream.finished

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._held += data
            if len(self._held) < 2:
                return
            # A header of zlib's is method 8 and, taken as a number, a multiple of 31 (RFC 1950, 2.2).
            is_zlib = self._held[0] & 15 == 8 and int.from_bytes(self._held[:2], "big") % 31 == 0
            self._stream, data = _Inflate(ZLIB if is_zlib else RAW_DEFLATE), self._held
        yield from self._stream.feed(data)


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._stream.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._stream.process(data, output_buffer_limit=PIECE_BYTES)
            data = b""
            if piece:
                yield piece
            if self._stream.can_accept_more_data() or not piece:
                return


UNPACKERS: dict[str, type[_Gzip] | type[_Deflate] | type[_Brotli]] = {
    "gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate, "br": _Brotli,
}  # fmt: skip
