"""The commands for Compose that the how-to pages show: read from the pages, and which of them the suite has run."""

import re
from collections.abc import Iterator

from tests.support.servers.databases import ROOT

PAGES = ("deploy-with-compose", "upgrade", "back-up")
FENCE = re.compile(r"^( *)```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"^\| `(docker compose [^`]+)` \|", re.MULTILINE)
OURS = ("docker ", "deploy/compose/", "COMPOSE_FILE")

run: set[str] = set()
"""The commands that the suite has run, as the pages show them."""


def blocks(page: str) -> list[list[str]]:
    """The blocks of commands on a page, each a list of lines."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    return [
        [line.removeprefix(indent) for line in block.splitlines() if line.strip()]
        for indent, block in FENCE.findall(text)
    ]


def block(page: str, first: str) -> list[str]:
    """The block with a line that begins like this. Raises AssertionError where there is not exactly one."""
    found = [lines for lines in blocks(page) if any(line.strip().startswith(first) for line in lines)]
    assert len(found) == 1, f"{page}.md: {len(found)} blocks have a line that begins with {first!r}"
    return found[0]


def all_commands() -> Iterator[str]:
    """Every line of these pages that is about Compose, and those in tables."""
    for page in PAGES:
        text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
        yield from SPAN.findall(text)
        yield from (line for lines in blocks(page) for line in lines if any(part in line for part in OURS))
