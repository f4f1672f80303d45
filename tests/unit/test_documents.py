"""The documents hold together: links lead somewhere, every page is found, generated pages are up to date."""

import importlib.util
import re
from datetime import date
from pathlib import Path

import pytest

from app.web.responses.problems import CODES
from taskledger_sdk.registry import load_types
from tests.browser.screenshots import KEPT
from tests.unit.documents import PAGES as DOCUMENTS

ROOT = Path(__file__).parents[2]
PAGES = [
    *DOCUMENTS,
    ROOT / "SECURITY.md",
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
]
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def links(page):
    """Where a page links to within the repository: the file, and the heading if there is one."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor


def anchors(page):
    """As GitHub makes them of headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    broken = [
        target
        for target, path, anchor in links(page)
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path))
    ]

    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    """A new page belongs on the map in docs/README.md."""
    reached, to_read = set(), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            to_read += [path for _, path, _ in links(page)]

    assert sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - reached) == []


def test_the_generated_pages_are_those_that_the_code_would_make():
    """Run `make docs` after a change of routes or commands."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)

    outdated = [path for path, text in generate.pages().items() if (ROOT / path).read_text(encoding="utf-8") != text]

    assert outdated == []


def test_the_page_of_task_types_names_each_that_comes_with_the_service():
    page = (ROOT / "docs" / "reference" / "task-types.md").read_text(encoding="utf-8")
    ours = [kind.name for kind in load_types().values() if kind.handler.__module__.startswith("tasks.handlers.")]

    assert [name for name in ours if f"`{name}`" not in page] == []


def test_the_page_of_problems_names_every_code():
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")]
    used = {code for source in sources for code in re.findall(r"\bcode=\"([a-z_]+)\"", source)}
    used |= {code for source in sources for code in re.findall(r"\bcode = [45]\d\d, \"([a-z_]+)\"", source)}
    assert "email_taken" in used

    assert sorted((used | set(CODES.values())) - set(re.findall(r"`([a-z_]+)`", page))) == []


def test_each_decision_has_a_number_of_its_own_which_its_title_and_the_list_repeat():
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    numbers = [name[:4] for name in names]
    titled = [re.match(r"# (\d{4}): ", (folder / name).read_text(encoding="utf-8")) for name in names]

    assert len(set(numbers)) == len(numbers)
    assert [title and title[1] for title in titled] == numbers
    listed = re.findall(r"^\| \[(\d{4})\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == list(zip(numbers, names, strict=True))


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
HEAD = re.compile(r"# .+\n\n- Date: (\d{4}-\d\d-\d\d)\n- Status: (.+)\n- Code: (.+)\n\n")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name[:4])
def test_each_decision_says_when_it_was_made_whether_it_stands_and_where_its_code_is(page):
    head = HEAD.match(page.read_text(encoding="utf-8"))

    assert head is not None
    day, status, code = head.groups()
    date.fromisoformat(day)
    assert re.fullmatch(r"accepted|superseded by \[\d{4}\]\(\d{4}-[\w-]+\.md\)", status)
    paths = re.findall(r"`([^`]+)`", code)
    assert code == ", ".join(f"`{path}`" for path in paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_table_is_broken_by_an_empty_line(page):
    """A row that follows an empty line is shown as text with bars in it."""
    blocks = [block.splitlines() for block in FENCED.sub("", page.read_text(encoding="utf-8")).split("\n\n")]
    tables = [block for block in blocks if block and block[0].startswith("|")]

    assert [block[0] for block in tables if len(block) < 2 or not re.fullmatch(r"\|( -+ \|)+", block[1])] == []


@pytest.mark.parametrize("name", ["performance.md", "hundred-million-rows.md"])
def test_a_page_about_measurements_stays_short(name):
    """What was measured before belongs into benchmarks/results/, and what was tried and left out, too."""
    assert len((ROOT / "docs" / "explanation" / name).read_text(encoding="utf-8").split()) <= 700


def test_the_repository_has_the_pictures_that_the_documents_show_and_no_others():
    """`make screenshots ARGS=--kept` takes them anew; all others are made when somebody wants to look."""
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    kept = {path.resolve() for path in (ROOT / "docs" / "screenshots").iterdir()}

    assert shown == kept
    assert {path.stem for path in kept} == KEPT
