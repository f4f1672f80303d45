"""A ledger of remote work in memory, behind a server: tasks are handed out, and what is told of them is kept."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

from fake_service import serving


@dataclass
class FakeWork:
    """What waits, what was claimed, and what was told."""

    url: str = ""
    waiting: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    answered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    breaks: dict[str, int] = field(default_factory=dict)
    """So many more requests of a path are carried out, and their answer is lost."""
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    slow_claim: float = 0.0
    """Seconds between taking tasks and the answer."""
    refused_word: str = ""
    """Heartbeats that hold it are refused, and all that come with them."""
    lock: threading.Condition = field(default_factory=threading.Condition)

    def add(self, payload: Any = None, *, lease_seconds: int = 60, timeout: float = 300) -> str:
        """Let a task wait; returns its id."""
        item = {"task_id": str(uuid4()), "type": "resize", "payload": payload, "attempt": 1, "max_retries": 3}
        item |= {"lease": str(uuid4()), "lease_seconds": lease_seconds, "timeout_seconds": timeout, "grace_seconds": 10}
        with self.lock:
            self.waiting.append(item)
            self.lock.notify_all()
        return item["task_id"]

    def told(self, task_id: str) -> dict[str, Any]:
        """How a task ended."""
        [outcome] = [each for each in self.outcomes if each["task_id"] == task_id]
        return outcome

    def claim(self, body: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + min(body["wait"], 0.5)
        with self.lock:
            self.claims.append(body)
            if body["claim"] in self.answered:
                return {"items": self.answered[body["claim"]], "retry_after": None}
            self.lock.wait_for(lambda: self.waiting, max(0.0, until - time.monotonic()))
            items, self.waiting = self.waiting[: body["max"]], self.waiting[body["max"] :]
            if items:
                self.answered[body["claim"]] = items
        if items:
            time.sleep(self.slow_claim)
        with self.lock:
            return {"items": [{"checkpoint": None, **each, "traceparent": None} for each in items], "retry_after": None}

    def heartbeats(self, body: dict[str, Any]) -> dict[str, Any]:
        self.beats += body["items"]
        return {"items": [self._pulse(each["task_id"]) for each in body["items"]]}

    def _pulse(self, task_id: str) -> dict[str, Any]:
        if task_id in self.lost:
            return {"task_id": task_id, "status": 409, "code": "lease_lost", "lease_seconds": None,
                    "cancel_requested": None}  # fmt: skip
        return {"task_id": task_id, "status": 200, "code": None, "lease_seconds": 60,
                "cancel_requested": task_id in self.cancelled}  # fmt: skip

    def record(self, body: dict[str, Any]) -> dict[str, Any]:
        known = {each["task_id"] for each in self.outcomes}
        answers = []
        for each in body["items"]:
            is_late = each["task_id"] in known or each["task_id"] in self.lost
            if not is_late:
                self.outcomes.append(each)
            answers.append({"task_id": each["task_id"], "status": 409 if is_late else 200})
        return {"items": answers}

    def leave(self, body: dict[str, Any]) -> dict[str, Any]:
        self.left.append(body["worker"])
        return {}


def _handler(fake: FakeWork) -> type[BaseHTTPRequestHandler]:
    routes = {"claim": fake.claim, "heartbeats": fake.heartbeats, "outcomes": fake.record, "leave": fake.leave}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name = self.path.rpartition("/")[2]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = 200, {}
            if name == "heartbeats" and fake.refused_word and fake.refused_word in json.dumps(body):
                status, answer = 422, {"status": 422, "code": "validation_failed", "detail": "a word is refused"}
            elif name in fake.refuses:
                status, code = fake.refuses[name]
                answer = {"status": status, "code": code, "detail": code}
            else:
                answer = routes[name](body)
            if fake.breaks.get(name, 0) > 0:
                fake.breaks[name] -= 1
                self.close_connection = True
                return
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged."""

    return Handler


@contextmanager
def working() -> Iterator[FakeWork]:
    """A service that hands out work."""
    fake = FakeWork()
    with serving(_handler(fake)) as fake.url:
        yield fake
