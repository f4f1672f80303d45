"""What the demo peers have in common: they answer with JSON, and serve until they are told to end."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def answer(request: BaseHTTPRequestHandler, status: HTTPStatus, content: Mapping[str, Any]) -> None:
    """Answer a request with JSON."""
    data = json.dumps(content, ensure_ascii=False).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)


def serve(server: ThreadingHTTPServer, name: str) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status."""
    with server:
        print(f"{name} listens on 127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0
