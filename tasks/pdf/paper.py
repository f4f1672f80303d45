"""Paper: an A4 page with our fonts, colours, footer and tables; all templates are printed on it."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, TableCellFillMode, XPos, YPos
from fpdf.fonts import FontFace, TTFFont

from taskledger_sdk.errors import PermanentError

ASSETS = Path(__file__).resolve().parents[1] / "assets"
FONT = "DejaVu"
INK, SOFT, RULE, TINT, ACCENT, WHITE = (
    (28, 32, 38),
    (104, 112, 122),
    (214, 219, 225),
    (244, 246, 248),
    (23, 78, 104),
    (255,) * 3,
)
MARGIN = 20.0  # mm
FOOT = 16.0
# Without a date of its own a document gets this one, so that its bytes do not depend on when it was printed.
SOME_DAY = dt.date(2000, 1, 1)

Colour = tuple[int, ...]


class Paper(FPDF):
    """One document on its way to a PDF. `foot` is printed at the lower right of every page."""

    def __init__(self, *, title: str, author: str, day: dt.date | None, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.set_margin(MARGIN)
        self.c_margin = 0  # texts begin exactly where lines and tables do
        self.set_auto_page_break(auto=True, margin=MARGIN + FOOT / 2)
        self.add_font(FONT, "", ASSETS / "DejaVuSans.ttf")
        self.add_font(FONT, "B", ASSETS / "DejaVuSans-Bold.ttf")
        self.set_creation_date(dt.datetime.combine(day or SOME_DAY, dt.time(), dt.UTC))
        self.set_title(clean(title))
        self.set_author(clean(author) or "Taskledger")
        self.set_creator("Taskledger")
        self.set_lang("en")
        self.add_page()

    def header(self) -> None:
        """A thin band of colour along the upper edge of every page."""
        self.set_fill_color(*ACCENT)
        self.rect(0, 0, self.w, 3.2, style="F")
        self.set_y(MARGIN)

    def footer(self) -> None:
        """Which page of how many, and who it is from."""
        self.set_y(-FOOT)
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        self.line(MARGIN, self.get_y(), self.w - MARGIN, self.get_y())
        self.set_y(-FOOT + 2.5)
        self.pen(7.5, colour=SOFT)
        # At the left, because the library measures {nb} and not the number that takes its place.
        self.cell(self.epw * 0.2, 4, f"{self.page_no()} / {{nb}}")
        self.cell(self.epw * 0.8, 4, self.fitting(self._foot, self.epw * 0.8), align="R")

    def pen(self, size: float, *, bold: bool = False, colour: Colour = INK) -> None:
        """Write in this size (points), weight and colour from here on."""
        self.set_font(FONT, "B" if bold else "", size)
        self.set_text_color(*colour)

    def line_of(self, text: str, *, height: float, width: float = 0, align: str = "L") -> None:
        """Write one line, cut where it does not fit, and go to the beginning of the next."""
        shown = self.fitting(text, width or self.epw)
        self.cell(width or self.epw, height, shown, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def paragraph(self, text: str, *, height: float) -> None:
        """Write a text of any length."""
        self.multi_cell(0, height, clean(text, keep_lines=True), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def fitting(self, text: str, width: float) -> str:
        """The text, or as much of it as fits, with an ellipsis."""
        shown = clean(text)
        room = width - 2 * self.c_margin
        if self.get_string_width(shown) <= room:
            return shown
        low, high = 0, len(shown)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.get_string_width(shown[:middle].rstrip() + "…") <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return shown[:low].rstrip() + "…"

    def keep_together(self, height: float) -> None:
        """Begin a new page if less than this is left of the present one."""
        if self.will_page_break(height):
            self.add_page()

    def table_of(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], *, widths: Sequence[float], aligns: str
    ) -> None:
        """A table whose head is repeated on every page, and whose rows are not torn apart; `aligns` is like "LRR"."""
        self.pen(8.5)
        self.set_draw_color(*RULE)
        self.set_line_width(0.2)
        heading = FontFace(family=FONT, emphasis="B", size_pt=8, color=WHITE, fill_color=ACCENT)
        try:
            with self.table(
                col_widths=tuple(widths),
                text_align=tuple({"L": "LEFT", "R": "RIGHT"}[each] for each in aligns),
                headings_style=heading,
                borders_layout=TableBordersLayout.HORIZONTAL_LINES,
                cell_fill_color=TINT,
                cell_fill_mode=TableCellFillMode.EVEN_ROWS,
                line_height=4.6,
                padding=(1.5, 2, 1.5, 2),
                v_align="TOP",
                width=self.epw,
            ) as table:
                for cells in (head, *rows):
                    table.row([clean(cell, keep_lines=True) for cell in cells])
        except ValueError as fault:  # the library's word for a row that no page can hold
            self.close_fonts()
            raise PermanentError(
                f"the table cannot be printed: {fault}; give it fewer columns or shorter texts"
            ) from None

    def finished(self) -> bytes:
        """The bytes of the PDF."""
        try:
            return bytes(cast("Any", self.output()))
        finally:
            self.close_fonts()

    def close_fonts(self) -> None:
        """Close the font files, which the library reads from until the end and leaves open."""
        for font in self.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Composed characters, as the fonts have them; a space for what cannot be printed."""
    composed = unicodedata.normalize("NFC", text)
    kept = "\n" if keep_lines else ""
    return "".join(each if each.isprintable() or each in kept else " " for each in composed)
