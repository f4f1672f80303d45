"""Printing documents as PDF: the same document gives the same bytes on every machine."""

from __future__ import annotations

from tasks.documents import Document, Invoice

__all__ = ["render"]


def render(document: Document) -> bytes:
    """The PDF of a document."""
    # Here and not above: fpdf2 and its font library take a quarter of a second to import, which only printing needs.
    from tasks.pdf.invoice import print_invoice
    from tasks.pdf.report import print_report

    return print_invoice(document) if isinstance(document, Invoice) else print_report(document)
