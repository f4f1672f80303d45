"""`python -m app.embedded.demo_orders`: a small orders service; any customer and period has orders, always the same."""

import datetime as dt
import hashlib
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.embedded.demo_server import answer, serve

DEFAULT_PORT = 8020
MAX_LOCAL_PART = 32
PAGE_ORDERS = 20
MAX_BODY_BYTES = 1_048_576
ONE_DAY = dt.timedelta(days=1)
CUSTOMERS = (
    "Nordlicht Kaffee GmbH",
    "Zakład Łódź sp. z o.o.",
    "Ωmega Éditions SARL",
    "Blue Harbor Ltd",
    "Čajovna Brno",
)
CATALOGUE = (
    ("COF-1", "Coffee beans, house blend, 1 kg", "18.90", "7"),
    ("COF-2", "Espresso, organic, 500 g", "11.40", "7"),
    ("TEA-1", "Earl Grey, loose leaf, 250 g", "8.75", "7"),
    ("CUP-1", "Porcelain cup with saucer", "12.50", "19"),
    ("FIL-1", "Paper filters, size 4, box of 100", "3.20", "19"),
    ("GRI-1", "Hand grinder, steel burrs", "89.00", "19"),
    ("SRV-1", "Machine maintenance, per hour", "64.00", "19"),
    ("DEL-1", "Express delivery", "9.90", "19"),
)


def orders_of(customer_id: str, day: dt.date) -> list[dict[str, Any]]:
    """The orders of one day: one, with one to three lines, all of it drawn from the customer and the day."""
    draw = hashlib.sha256(f"{customer_id} {day}".encode()).digest()
    picked = sorted({draw[place] % len(CATALOGUE) for place in range(1 + draw[8] % 3)})
    lines = [
        {
            "sku": sku,
            "description": text,
            "quantity": str(1 + draw[9 + place] % 6),
            "unit_price": price,
            "tax_percent": tax,
        }
        for place in picked
        for sku, text, price, tax in (CATALOGUE[place],)
    ]
    return [
        {
            "id": f"{day:%y%m%d}-{draw.hex()[:6]}",
            "customer_id": customer_id,
            "customer_name": customer_name(customer_id),
            "customer_email": customer_email(customer_id),
            "ordered_on": day.isoformat(),
            "currency": "EUR",
            "lines": lines,
        }
    ]


def customer_name(customer_id: str) -> str:
    """The same name for the same customer, of a handful."""
    return CUSTOMERS[hashlib.sha256(customer_id.encode()).digest()[0] % len(CUSTOMERS)]


def customer_email(customer_id: str) -> str:
    """An address of its own for each customer, in a domain that nobody can have."""
    plain = customer_id.replace(".", "-").lower()
    return f"{plain if len(plain) <= MAX_LOCAL_PART else hashlib.sha256(plain.encode()).hexdigest()[:16]}@example.org"


def page_of(customer_id: str, first: dt.date, last: dt.date, cursor: str = "") -> dict[str, Any]:
    """One page of the orders of a period; the cursor is the day at which the page begins."""
    day = max(first, dt.date.fromisoformat(cursor)) if cursor else first
    items: list[dict[str, Any]] = []
    while day <= last and len(items) < PAGE_ORDERS:
        items += orders_of(customer_id, day)
        if day == dt.date.max:
            return {"items": items, "next": None}
        day += ONE_DAY
    return {"items": items, "next": day.isoformat() if day <= last else None}


class Handler(BaseHTTPRequestHandler):
    """`GET /orders`, `/health`, and `/echo`, which says what was asked of it."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server_version = "demo-orders"

    def do_GET(self) -> None:
        """Answer a read."""
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/orders":
            self._orders(query)
        elif parts.path == "/health":
            answer(self, HTTPStatus.OK, {"status": "ok"})
        elif parts.path == "/echo":
            self._echo("")
        else:
            answer(self, HTTPStatus.NOT_FOUND, {"detail": "there are /orders, /health and /echo"})

    def do_POST(self) -> None:
        """Answer a write: only /echo takes one."""
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            answer(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"detail": f"send at most {MAX_BODY_BYTES} bytes"})
            return
        body = self.rfile.read(int(length)).decode(errors="replace")
        if urlsplit(self.path).path == "/echo":
            self._echo(body)
        else:
            answer(self, HTTPStatus.NOT_FOUND, {"detail": "only /echo takes a POST"})

    def _orders(self, query: Mapping[str, str]) -> None:
        try:
            page = page_of(
                query["customer_id"],
                dt.date.fromisoformat(query["date_from"]),
                dt.date.fromisoformat(query["date_to"]),
                query.get("cursor", ""),
            )
        except (KeyError, ValueError) as error:
            say = "give customer_id, date_from and date_to (2026-01-31)"
            answer(self, HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": f"{say}; {type(error).__name__}: {error}"})
            return
        answer(self, HTTPStatus.OK, page)

    def _echo(self, body: str) -> None:
        answer(self, HTTPStatus.OK, {"method": self.command, "path": self.path, "body": body})


def make_server(port: int) -> ThreadingHTTPServer:
    """The service, listening on loopback only; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    return serve(make_server(int(os.environ.get("DEMO_ORDERS_PORT") or DEFAULT_PORT)), "The demo orders service")


if __name__ == "__main__":
    sys.exit(main())
