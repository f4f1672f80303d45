"""generate_pdf: an invoice or a report as a PDF, kept as an artifact."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

from taskledger_sdk import PermanentError, RetryPolicy, TaskContext, task_type
from tasks.documents import Invoice, Report
from tasks.http_rules import require_status
from tasks.outbound import Outbound
from tasks.pdf import render

MEDIA_TYPE = "application/pdf"
MAX_BYTES = 33_554_432
REMOTE_SECONDS = 120.0

EXAMPLE_INVOICE = {
    "template": "invoice",
    "seller": {
        "name": "Nordlicht Kaffee GmbH",
        "address": ["Hafenstraße 12", "20457 Hamburg", "Germany"],
        "tax_id": "DE 123 456 789",
        "bank": "IBAN DE02 1203 0000 0000 2020 51",
    },
    "data": {
        "number": "INV-000017",
        "issued_on": "2026-02-01",
        "due_on": "2026-02-15",
        "customer_id": "C-1001",
        "customer_name": "Zakład Łódź sp. z o.o.",
        "date_from": "2026-01-01",
        "date_to": "2026-01-31",
        "currency": "EUR",
        "lines": [
            {
                "description": "Coffee beans, house blend, 1 kg",
                "quantity": "12",
                "unit_price": "18.90",
                "tax_percent": "7",
                "net": "226.80",
            },
            {
                "description": "Machine maintenance Ω-3, per hour",
                "quantity": "1.5",
                "unit_price": "64.00",
                "tax_percent": "19",
                "net": "96.00",
            },
        ],
        "taxes": [
            {"tax_percent": "7", "net": "226.80", "tax": "15.88"},
            {"tax_percent": "19", "net": "96.00", "tax": "18.24"},
        ],
        "net": "322.80",
        "tax": "34.12",
        "total": "356.92",
    },
    "note": "Thank you for your order.",
}
EXAMPLE_REPORT = {
    "template": "report",
    "data": {
        "title": "Tasks in January",
        "subtitle": "Numbers of one installation",
        "date": "2026-02-01",
        "sections": [
            {"heading": "Summary", "text": "Nearly all tasks were completed at the first attempt."},
            {
                "heading": "By type",
                "table": {
                    "columns": [
                        {"title": "Type", "width": 2},
                        {"title": "Completed", "align": "right"},
                        {"title": "Failed", "align": "right"},
                    ],
                    "rows": [["send_email", "1,204", "3"], ["generate_pdf", "310", "0"]],
                },
            },
        ],
    },
}


def undo_generate_pdf(task: TaskContext, _payload: Invoice | Report, result: dict[str, Any]) -> dict[str, Any]:
    """Delete the PDF; one that is gone already is as good."""
    try:
        task.artifacts.delete(UUID(result["artifact_id"]))
    except PermanentError:
        return {"artifact_id": result["artifact_id"], "deleted": False}
    return {"artifact_id": result["artifact_id"], "deleted": True}


@task_type(
    "generate_pdf",
    retry=RetryPolicy(max_retries=4, base_seconds=2),
    timeout_seconds=180,
    settings=("PDF_PROCESSOR_URL", "OUTBOUND_ALLOW"),
    undo=undo_generate_pdf,
    examples=(EXAMPLE_INVOICE, EXAMPLE_REPORT),
)
def generate_pdf(task: TaskContext, payload: Invoice | Report) -> dict[str, Any]:
    """Print an invoice (the result of create_invoice is its `data`) or a report, and keep the PDF as an artifact.

    The same payload gives the same bytes. Latin, Greek and Cyrillic scripts are printed; the fonts are embedded. When
    PDF_PROCESSOR_URL is set, the document is sent there as JSON, and what comes back is kept instead. The result is
    `{"artifact_id", "name", "media_type", "size", "sha256"}`.
    """
    address = task.settings.get("PDF_PROCESSOR_URL", "")
    content = _rendered_remotely(task, payload, address) if address else render(payload)
    task.progress(0.9, "storing")
    made = task.artifacts.save(_name(payload), MEDIA_TYPE, content)
    return {
        "artifact_id": str(made.id),
        "name": made.name,
        "media_type": made.media_type,
        "size": made.size,
        "sha256": made.sha256,
    }


def _rendered_remotely(task: TaskContext, document: Invoice | Report, address: str) -> bytes:
    """What the service at PDF_PROCESSOR_URL makes of the document."""
    body = json.dumps(dataclasses.asdict(document), default=_plain, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "Accept": MEDIA_TYPE, "Idempotency-Key": str(task.id)}
    outbound = Outbound(allow=task.settings.get("OUTBOUND_ALLOW", ""), peers=(address,))
    answer = outbound.send(
        "POST",
        address,
        headers=headers,
        body=body,
        seconds=REMOTE_SECONDS,
        most_bytes=MAX_BYTES,
        may_become_get=False,
    )
    require_status(answer, sender="the PDF renderer")
    if answer.truncated:
        raise PermanentError(f"the PDF renderer sent more than {MAX_BYTES} bytes")
    if not answer.body.startswith(b"%PDF-"):
        raise PermanentError("the PDF renderer sent what is no PDF")
    return answer.body


def _plain(value: object) -> str:
    """Decimals, days and ids as the payload had them."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.date | UUID):
        return str(value)
    raise TypeError(f"{value!r} is no part of a document")


def _name(document: Invoice | Report) -> str:
    title = document.data.number if isinstance(document, Invoice) else document.data.title
    return f"{document.template}-{re.sub(r'[^A-Za-z0-9]+', '-', title).strip('-').lower()[:80] or 'document'}.pdf"
