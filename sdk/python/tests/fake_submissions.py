"""A service of the standard library for tests of the client: it takes submissions, and can be made to fail."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from fake_service import serving

MOMENT = "2026-01-02T03:04:05.678901Z"


class FakeService:
    """What was asked of it, and what it answers; `script` comes before that: a status, or "break" for no answer."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.tasks: dict[str, dict[str, Any]] = {}  # by id
        self.script: deque[Any] = deque()
        self.delay = 0.0
        self.gate: threading.Event | None = None
        self.lock = threading.Lock()
        self.busy = self.busiest = 0
        self.url = ""

    def submissions(self) -> list[tuple[str, int]]:
        """The path of each request that submits, and how many it had."""
        return [(path, len(body) if isinstance(body, list) else 1) for _, path, _, body in self.requests]

    def accept(self, id_: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            if body["type"] == "refused":
                return 422, problem(422, "unknown_task_type", f"No such type: {body['payload']}.")
            is_new = id_ not in self.tasks
            task = self.tasks.setdefault(id_, task_of(body))
            return (201 if is_new else 200), task

    def say(
        self, scripted: Any, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, content and headers: as the script has it, or else as a service would."""
        if isinstance(scripted, int):
            return scripted, problem(scripted, "scripted"), {}
        return *self.answer(method, path, headers, body), {}

    def answer(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/api/v1/tasks" and method == "POST":
            return self.accept(body["id"], body)
        if path == "/api/v1/tasks/batch":
            results = []
            for index, each in enumerate(body):
                status, said = self.accept(each["id"], each)
                results.append({"index": index, "status": status, "task" if status < 300 else "problem": said})
            return 200, {"results": results, "accepted": 0, "refused": 0}
        return 404, problem(404, "not_found")


def task_of(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": body["id"], "type": body["type"], "payload": body["payload"], "status": "PENDING", "attempt": 0,
        "created_at": MOMENT, "updated_at": MOMENT, "finished_at": None, "labels": body.get("labels", {}),
        "error": None, "result": None, "later": {"field": 1},
    }  # fmt: skip


def problem(status: int, code: str, detail: str = "No.", **more: Any) -> dict[str, Any]:
    return {"type": f"urn:{code}", "title": "No", "status": status, "code": code, "detail": detail, **more}


@contextmanager
def running() -> Iterator[FakeService]:
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body: Any = None
            if "ndjson" in self.headers.get("Content-Type", ""):
                body = [json.loads(line) for line in content.splitlines()]
            elif "json" in self.headers.get("Content-Type", ""):
                body = json.loads(content)
            with service.lock:
                service.requests.append((self.command, self.path, dict(self.headers), body))
                scripted = service.script.popleft() if service.script else None
                service.busy += 1
                service.busiest = max(service.busy, service.busiest)
            if service.gate is not None:
                service.gate.wait(10)
            time.sleep(service.delay)
            with service.lock:
                service.busy -= 1
            method, path = self.command, self.path.partition("?")[0]
            status, said, headers = service.say(scripted, method, path, dict(self.headers), body)
            if scripted == "break":  # it was carried out, and nobody is told
                self.close_connection = True
                return
            text = json.dumps(said).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)

    with serving(Handler) as service.url:
        yield service
