"""The words of an HTML document, for readers that show no HTML. Pure."""

from __future__ import annotations

import re
from html.parser import HTMLParser

UNSEEN = frozenset(("head", "script", "style", "template", "title", "noscript"))
BLOCKS = "article blockquote div dl footer form header main ol p pre section table ul"
PARAGRAPHS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", *BLOCKS.split(" ")))
LINES = frozenset(("br", "dd", "dt", "li", "tr"))
RULE = "-" * 40
MAX_BLANK = re.compile(r"\n{3,}")


def text_of(html: str) -> str:
    """The text, a paragraph parted from the next by an empty line; the address of a link stands behind its words."""
    words = _Words()
    words.feed(html)
    words.close()
    lines = (" ".join(line.split()) for line in "".join(words.parts).split("\n"))
    return MAX_BLANK.sub("\n\n", "\n".join(lines)).strip() + "\n"


class _Words(HTMLParser):
    """Collects what is to be read; white space is made one space later, as browsers do."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in UNSEEN:
            self._unseen += 1
        elif tag in PARAGRAPHS:
            self._add("\n\n")
        elif tag in LINES:
            self._add("\n- " if tag == "li" else "\n")
        elif tag == "hr":
            self._add(f"\n\n{RULE}\n\n")
        elif tag == "img":
            self._add(said.get("alt", ""))
        elif tag == "a":
            self._links.append((said.get("href", "").strip(), len(self.parts)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in UNSEEN:  # <script/> hides nothing that follows
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in PARAGRAPHS:
            self._add("\n\n")
        elif tag in ("td", "th"):
            self._add(" ")
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())

    def handle_data(self, data: str) -> None:
        self._add(data.replace("\n", " "))

    def _end_link(self, address: str, begun: int) -> None:
        shown = " ".join("".join(self.parts[begun:]).split())
        if address.lower().startswith(("http://", "https://", "mailto:")) and shown not in (
            address,
            address.removeprefix("mailto:"),
        ):
            self._add(f" <{address}>")

    def _add(self, words: str) -> None:
        if not self._unseen:
            self.parts.append(words)
