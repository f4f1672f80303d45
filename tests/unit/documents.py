"""What the tests of documents read in them: pages, fenced blocks, and words between backticks."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAGMENTS = ROOT / "docs" / "changes"  # lines of the changelog to be; no pages
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent != FRAGMENTS),
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of code and the page that it is on."""

    page: Path
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}-{self.number}"


def python_blocks() -> list[Block]:
    return blocks("python")


def blocks(wanted: str, pages: Sequence[Path] = PAGES) -> list[Block]:
    """Those of one language."""
    return [
        Block(page=page, number=number, text=textwrap.dedent(text))
        for page in pages
        for number, (language, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
        if language == wanted
    ]


def running_text(page: Path) -> str:
    """The text of a page without its fenced blocks, on one line."""
    return " ".join(FENCE.sub("", page.read_text(encoding="utf-8")).split())


def spans(page: Path) -> list[str]:
    """What stands between backticks in the running text."""
    return SPAN.findall(running_text(page))
