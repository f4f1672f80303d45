"""An HTTP load generator that costs little: asyncio, kept-alive connections, requests made beforehand."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
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


def send_slowly(path: str, body: Any, *, port: int, count: int, pace: float, **headers: str) -> dict[str, float]:
    """POST the same so often, one every `pace` seconds; returns when (time.time()) each went out, by the id answered.

    http.client, because a library that people like costs half a millisecond before its first byte is on the way.
    """
    content, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    began: dict[str, float] = {}
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(count):
        moment = time.time()
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        shown = answer.read()
        assert answer.status in (200, 201), f"{answer.status}: {shown[:300]!r}"
        began[str(json.loads(shown)["id"])] = moment
        time.sleep(pace)
    connection.close()
    return began


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
