"""An HTTP load generator that costs little: asyncio, kept-alive connections, requests made beforehand."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """When the first request began and the last answer came (time.time()), and how long each took, in seconds."""

    began: float
    ended: float
    seconds: list[float]


def request(path: str, body: Any, *, port: int, **headers: str) -> bytes:
    """One POST as it goes over the wire."""
    content = json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"{more}Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def send(requests: Sequence[bytes], *, port: int, connections: int) -> Sent:
    """Send them over so many connections, each with one request at a time. Raises AssertionError unless all are 2xx."""
    return asyncio.run(_send(requests, port, connections))


async def _send(requests: Sequence[bytes], port: int, connections: int) -> Sent:
    waiting, took = iter(requests), []
    began = time.time()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        for each in waiting:
            started = time.perf_counter()
            writer.write(each)
            closes = await _answer(reader)
            took.append(time.perf_counter() - started)
            if closes:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Sent(began=began, ended=time.time(), seconds=took)


async def _answer(reader: asyncio.StreamReader) -> bool:
    """Read one answer; returns whether the server closes the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = head.split(b" ", 2)[1]
    length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    assert status.startswith(b"2"), f"{status.decode()}: {body[:300]!r}"
    return b"connection: close" in head
