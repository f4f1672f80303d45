"""What has arrived of a request, and whether that is enough for a thread to begin: nobody waits in a thread for it."""

import re
from collections.abc import Sequence
from enum import Enum

from app.addresses import caller_of, nearest_client
from app.server.deadlines import GRACE_SECONDS, HEAD_SECONDS, MIN_RATE, Pace
from app.shares import Caller

MAX_HEAD = 64 * 1024
SMALL_BODY = 1024 * 1024 + 64 * 1024  # arrives before a thread is taken; of a larger one, this much:
FIRST_OF_LARGE = 64 * 1024
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
MAX_CHUNK_LINE = 4096
EXPECT = re.compile(rb"\r\nexpect:[^\r\n]*\r\n", re.IGNORECASE)


class Kind(Enum):
    """Who answers."""

    LIVE = "a thread that answers nothing else"
    HEALTH = "one of two threads that ask database and broker for load balancers and Prometheus"
    SHORT = "one of the threads for requests; all of it is here"
    LARGE = "one of these threads; the rest of its body is read on the way"


BY_PATH = {b"/health/live": Kind.LIVE, b"/health/ready": Kind.HEALTH, b"/metrics": Kind.HEALTH}


class Unacceptable(Exception):
    """A request that is not waited for any more: its status, a code, and what was wrong."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, code, detail)
        self.status, self.code, self.detail = status, code, detail


class _Chunks:
    """Finds the end of a chunked body."""

    def __init__(self, at: int) -> None:
        self._at = at

    def end(self, arrived: bytearray) -> int | None:
        """Where it ends; None: not yet. What is no such body is taken for whole, and refused by who reads it."""
        while True:
            line_end = arrived.find(b"\r\n", self._at)
            if line_end < 0:
                return len(arrived) if len(arrived) - self._at > MAX_CHUNK_LINE else None
            size = CHUNK_SIZE.match(arrived, self._at, line_end)
            if size is None:
                return len(arrived)
            count = int(size[0], 16)
            if count == 0:
                last = arrived.find(b"\r\n\r\n", line_end)
                return None if last < 0 else last + 4
            self._at = line_end + 2 + count + 2


class Incoming:
    """One request as it arrives. Times are of time.monotonic()."""

    __slots__ = ("_chunks", "_head_end", "_last_at", "_need", "_pace", "arrived", "deadline", "expects", "head")

    def __init__(self, now: float, *, begun: bytes = b"") -> None:
        self.arrived = bytearray(begun)
        self.deadline = now + HEAD_SECONDS
        self.head = b""
        self.expects = False
        """Whether the client waits for "100 Continue" before it sends the body."""
        self._head_end = 0
        self._need: int | None = None
        self._chunks: _Chunks | None = None
        self._pace = Pace(now)
        self._last_at = now

    def add(self, data: bytes, now: float) -> None:
        """More of it came."""
        self.arrived += data
        if self._head_end:
            self._pace.waited(now - self._last_at)
            self._pace.moved_bytes += len(data)
            self._last_at = now
            self.deadline = now + self._pace.left()

    def kind(self, now: float) -> Kind | None:
        """Who is to answer it; None: wait for more. Raises Unacceptable."""
        if not self._head_end and not self._find_head(now):
            return None
        if self._is_whole():
            target = self.head[: self.head.find(b"\r\n")].split(b" ", 2)[1:2]
            return BY_PATH.get(target[0].partition(b"?")[0], Kind.SHORT) if target else Kind.SHORT
        if self._is_large() and len(self.arrived) - self._head_end >= FIRST_OF_LARGE:
            return Kind.LARGE
        return None

    def was_asked(self) -> None:
        """The client was told to send the body: nobody need tell it again."""
        self.expects = False
        without = EXPECT.sub(b"\r\n", self.head)
        self._head_end -= len(self.head) - len(without)
        if self._need is not None:
            self._need -= len(self.head) - len(without)
        self.arrived[: len(self.head)] = without
        self.head = without
        if self._chunks is not None:
            self._chunks = _Chunks(self._head_end)

    def late(self) -> Unacceptable | None:
        """What a client that took too long is told; None: nothing, it has sent nothing."""
        if not self.arrived:
            return None
        part = "body" if self._head_end else "head"
        return Unacceptable(
            408,
            "request_timeout",
            f"The {part} of the request did not arrive in time: a head may take {HEAD_SECONDS:g} s, and at least "
            f"{MIN_RATE} bytes of a body in a second. Send it again, on a better connection.",
        )

    def caller(self, address: str, proxies: Sequence[str]) -> Caller:
        """Who is asking, as far as the head tells: the address, and the credential that was sent."""
        lowered = self.head.lower()
        forwarded = _value(self.head, lowered, b"x-forwarded-for") if proxies else b""
        address = caller_of(nearest_client(address, forwarded.decode("latin-1"), proxies))
        credential = _value(self.head, lowered, b"authorization") or _value(self.head, lowered, b"cookie")
        return Caller(account=hash(credential) if credential else None, address=address)

    def _find_head(self, now: float) -> bool:
        end = self.arrived.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self.arrived) >= MAX_HEAD:
                raise Unacceptable(431, "head_too_large", f"The head is larger than {MAX_HEAD} bytes: send less of it.")
            # One that will never end as it should is refused by who reads it, at once.
            if self.arrived.count(b"\n") != self.arrived.count(b"\r\n"):
                self._head_end, self._need, self.head = 1, 0, b""
                return True
            return False
        self._head_end = end + 4
        self.head = bytes(self.arrived[: end + 2])
        self._last_at, self.deadline = now, now + GRACE_SECONDS
        self._need = self._head_end
        lowered = self.head.lower()
        if b"chunked" in _value(self.head, lowered, b"transfer-encoding").lower():
            self._chunks, self._need = _Chunks(self._head_end), None
        elif (length := _value(self.head, lowered, b"content-length")).isdigit() and len(length) < 19:
            self._need += int(length)
        if not self._is_whole():
            self.expects = _value(self.head, lowered, b"expect").lower() == b"100-continue"
        return True

    def _is_whole(self) -> bool:
        if self._need is None and self._chunks is not None:
            self._need = self._chunks.end(self.arrived)
        return self._need is not None and len(self.arrived) >= self._need

    def _is_large(self) -> bool:
        size = len(self.arrived) if self._need is None else self._need
        return size - self._head_end > SMALL_BODY


def _value(head: bytes, lowered: bytes, name: bytes) -> bytes:
    """The values of a header, whatever the case of its name; blank without it. `lowered` is the head in lower case."""
    values, mark = [], b"\r\n" + name + b":"
    at = lowered.find(mark)
    while at >= 0:
        at += len(mark)
        values.append(head[at : head.find(b"\r\n", at)].strip())
        at = lowered.find(mark, at)
    return b",".join(values)
