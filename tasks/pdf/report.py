"""The report template."""

from __future__ import annotations

from tasks.documents import Report, Section, Table
from tasks.pdf.amounts import day
from tasks.pdf.paper import ACCENT, SOFT, Paper


def print_report(report: Report) -> bytes:
    """A report as a PDF."""
    data = report.data
    paper = Paper(title=data.title, author="", day=data.date, foot=data.title)
    paper.pen(22, bold=True, colour=ACCENT)
    paper.multi_cell(0, 10, data.title, align="L", new_x="LMARGIN", new_y="NEXT")
    under = "  ·  ".join(part for part in (data.subtitle, day(data.date) if data.date else "") if part)
    if under:
        paper.ln(1)
        paper.pen(10, colour=SOFT)
        paper.paragraph(under, height=5.4)
    for section in data.sections:
        _section(paper, section)
    return paper.finished()


def _section(paper: Paper, section: Section) -> None:
    paper.ln(7)
    if section.heading:
        paper.keep_together(28)  # a heading never stands alone at the foot of a page
        paper.pen(13, bold=True)
        paper.paragraph(section.heading, height=6.6)
        paper.ln(2)
    if section.text:
        paper.pen(9.5)
        for part in section.text.splitlines():
            paper.paragraph(part or " ", height=5.2)
            paper.ln(1.6)
    if section.table:
        _table(paper, section.table)


def _table(paper: Paper, table: Table) -> None:
    columns = len(table.columns)
    paper.table_of(
        [column.title for column in table.columns],
        [[*row[:columns], *[""] * (columns - len(row))] for row in table.rows],
        widths=[column.width for column in table.columns],
        aligns="".join("R" if column.align == "right" else "L" for column in table.columns),
    )
