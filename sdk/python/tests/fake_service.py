"""A server on this machine that answers as a test tells it to, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(kw_only=True)
class Request:
    """What came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Service:
    """A server on this machine; `answers` are given one after the other, the last one again and again."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: dict[tuple[str, str], list[tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)

    def answer(self, method: str, path: str, body: Any, *, status: int = 200, **headers: str) -> None:
        """Add an answer; `path` is below /api/v1, and `body` is sent as JSON unless it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault((method, path), []).append((status, named, content))

    def refuse(self, method: str, path: str, status: int, code: str, detail: str, **more: Any) -> None:
        """Add a problem."""
        headers = more.pop("headers", {})
        body = {"status": status, "code": code, "detail": detail, "errors": {}, **more}
        self.answer(method, path, body, status=status, **headers)

    def asked(self, method: str, path: str) -> list[Request]:
        return [each for each in self.requests if (each.method, each.path) == (method, path)]


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = parts.path.removeprefix("/api/v1")
            body = json.loads(content) if content else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.requests.append(
                Request(method=self.command, path=path, query=parse_qs(parts.query), headers=headers, body=body)
            )
            left = service.answers.get((self.command, path)) or [(404, {}, b'{"status": 404, "detail": "No such."}')]
            status, more, sent = left.pop(0) if len(left) > 1 else left[0]
            if status == 0:  # hang up instead
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged."""

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.do)
    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine whose requests the handler answers; its URL."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running() -> Iterator[Service]:
    """A service that knows nothing until it is told."""
    service = Service()
    with serving(_handler(service)) as service.url:
        yield service
