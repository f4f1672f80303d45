"""The invoice template."""

from __future__ import annotations

from tasks.documents import Invoice, InvoiceData, Seller
from tasks.pdf.amounts import day, money, plain
from tasks.pdf.paper import ACCENT, INK, MARGIN, RULE, SOFT, TINT, Paper

META_WIDTH = 78.0
LABEL_WIDTH = 30.0
TOTALS_WIDTH = 84.0
PADDING = 2.0  # as in the cells of tables


def print_invoice(invoice: Invoice) -> bytes:
    """An invoice as a PDF."""
    data, seller = invoice.data, invoice.seller
    from_ = seller.name if seller else ""
    foot = "  ·  ".join(part for part in (from_, f"Invoice {data.number}", seller.bank if seller else "") if part)
    paper = Paper(title=f"Invoice {data.number}", author=from_, day=data.issued_on, foot=foot)
    _head(paper, seller)
    _addresses(paper, data)
    _lines(paper, data)
    _totals(paper, data)
    _closing(paper, invoice)
    return paper.finished()


def _head(paper: Paper, seller: Seller | None) -> None:
    top = paper.get_y()
    paper.pen(24, bold=True, colour=ACCENT)
    paper.set_xy(MARGIN, top)
    paper.cell(paper.epw, 10, "INVOICE", align="R")
    paper.set_xy(MARGIN, top)
    if seller:
        paper.pen(13, bold=True)
        paper.line_of(seller.name, height=7, width=paper.epw - META_WIDTH)
        paper.pen(8.5, colour=SOFT)
        for line in (*seller.address, f"Tax ID {seller.tax_id}" if seller.tax_id else ""):
            if line:
                paper.line_of(line, height=4.4, width=paper.epw - META_WIDTH)
    paper.set_y(max(paper.get_y(), top + 14) + 10)


def _addresses(paper: Paper, data: InvoiceData) -> None:
    """The customer at the left, the invoice's own particulars at the right."""
    top = paper.get_y()
    width = paper.epw - META_WIDTH - 6
    paper.pen(7.5, bold=True, colour=SOFT)
    paper.line_of("BILL TO", height=5, width=width)
    paper.pen(11, bold=True)
    paper.multi_cell(width, 5.6, data.customer_name or data.customer_id, align="L", new_x="LMARGIN", new_y="NEXT")
    paper.pen(8.5, colour=SOFT)
    paper.line_of(f"Customer {data.customer_id}", height=5, width=width)
    lower = paper.get_y()
    paper.set_y(top)
    for label, value in (
        ("Invoice number", data.number),
        ("Invoice date", day(data.issued_on)),
        ("Period", f"{day(data.date_from)} – {day(data.date_to)}"),
        ("Due", day(data.due_on)),
    ):
        paper.set_x(paper.w - MARGIN - META_WIDTH)
        paper.pen(8.5, colour=SOFT)
        paper.cell(LABEL_WIDTH, 5.4, label)
        paper.pen(8.5, bold=label in ("Invoice number", "Due"))
        paper.line_of(value, height=5.4, width=META_WIDTH - LABEL_WIDTH, align="R")
    paper.set_y(max(paper.get_y(), lower) + 9)


def _lines(paper: Paper, data: InvoiceData) -> None:
    rows = [
        (
            str(position),
            line.description,
            plain(line.quantity),
            money(line.unit_price, data.currency),
            f"{plain(line.tax_percent)} %",
            money(line.net, data.currency),
        )
        for position, line in enumerate(data.lines, start=1)
    ]
    head = ("#", "Description", "Quantity", "Unit price", "Tax", "Amount")
    paper.table_of(head, rows, widths=(10, 74, 20, 27, 16, 29), aligns="LLRRRR")


def _totals(paper: Paper, data: InvoiceData) -> None:
    paper.keep_together(12 + 6 * (len(data.taxes) + 1) + 12)
    paper.ln(5)
    inner, left = TOTALS_WIDTH - 2 * PADDING, paper.w - MARGIN - TOTALS_WIDTH + PADDING
    for label, amount in (
        ("Net", data.net),
        *((f"Tax {plain(tax.tax_percent)} % of {money(tax.net, data.currency)}", tax.tax) for tax in data.taxes),
    ):
        paper.set_x(left)
        paper.pen(8.5, colour=SOFT)
        paper.cell(inner * 0.6, 6, label)
        paper.pen(8.5)
        paper.line_of(money(amount, data.currency), height=6, width=inner * 0.4, align="R")
    paper.ln(1.5)
    paper.set_fill_color(*TINT)
    paper.set_draw_color(*ACCENT)
    paper.set_line_width(0.6)
    top = paper.get_y()
    paper.rect(left - PADDING, top, TOTALS_WIDTH, 11, style="F")
    paper.line(left - PADDING, top, paper.w - MARGIN, top)
    paper.set_x(left)
    paper.pen(11, bold=True)
    paper.cell(inner * 0.4, 11, "Total")
    paper.pen(13, bold=True, colour=ACCENT)
    paper.line_of(money(data.total, data.currency), height=11, width=inner * 0.6, align="R")
    paper.set_draw_color(*RULE)


def _closing(paper: Paper, invoice: Invoice) -> None:
    paper.ln(9)
    bank = invoice.seller.bank if invoice.seller else ""
    paper.keep_together(14)
    paper.pen(9, colour=INK)
    due = f"Please pay {money(invoice.data.total, invoice.data.currency)} by {day(invoice.data.due_on)}"
    paper.paragraph(f"{due}{f' to {bank}' if bank else ''}, quoting {invoice.data.number}.", height=5)
    if invoice.note:
        paper.ln(2)
        paper.pen(8.5, colour=SOFT)
        paper.paragraph(invoice.note, height=4.6)
