"""`python -m app.embedded.demo_model`: a peer that answers as a language model with tools does; always the same.

It stands in for a model in the example of an agent: it asks for one tool after the other, and then gives its answer.
"""

import json
import os
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app.embedded.demo_server import answer, serve

DEFAULT_PORT = 8021
MAX_BODY_BYTES = 1_048_576
TOOLS = ("reverse_string", "uppercase_text")


def reply(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the model says next: a tool with its payload, or the answer once each tool has been asked. Pure."""
    results = [each["content"] for each in messages if each.get("role") == "tool"]
    last = results[-1] if results else messages[0]["content"]
    if len(results) < len(TOOLS):
        return {"tool": TOOLS[len(results)], "payload": str(last)}
    return {"answer": f"It is {last}."}


class Handler(BaseHTTPRequestHandler):
    """POST /chat {"messages": [{"role", "content"}]}."""

    def do_POST(self) -> None:
        """Answer what was said so far."""
        length = int(self.headers.get("Content-Length") or 0)
        try:
            said = json.loads(self.rfile.read(min(length, MAX_BODY_BYTES)))
            status, said_next = HTTPStatus.OK, reply(said["messages"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            status, said_next = HTTPStatus.BAD_REQUEST, {"error": f"no messages: {error}"}
        answer(self, status, said_next)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


def make_server(port: int) -> ThreadingHTTPServer:
    """The peer, listening on loopback only; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    return serve(make_server(int(os.environ.get("DEMO_MODEL_PORT") or DEFAULT_PORT)), "The demo model")


if __name__ == "__main__":
    sys.exit(main())
