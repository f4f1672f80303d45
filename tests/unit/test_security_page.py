"""SECURITY.md and the page that goes through OWASP ASVS: what they name exists, and no requirement is left out."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.unit.documents import ROOT, SPAN, running_text

PAGE = ROOT / "docs" / "explanation" / "security.md"
PROMISES = ROOT / "SECURITY.md"
BOTH = pytest.mark.parametrize("page", [PAGE, PROMISES], ids=lambda page: page.name)
STATES = ("met", "partly", "not met", "not applicable")
ROW = re.compile(r"^\| (\d+\.\d+\.\d+(?:, \d+\.\d+\.\d+)*) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
PATH = re.compile(r"(?:(?:app|tasks|deploy|docs|tests|benchmarks|\.ci)/\S*|[\w-]+\.(?:md|py|toml|txt))$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

# How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has; their numbers begin with 1 and leave none out.
SECTIONS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2,
    "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2,
    "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4,
    "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2,
    "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
    "9.1": 3, "9.2": 4,
    "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3,
    "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4,
    "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5,
    "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7,
    "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3,
    "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
CHAPTERS = (
    "Encoding and Sanitization", "Validation and Business Logic", "Web Frontend Security", "API and Web Service",
    "File Handling", "Authentication", "Session Management", "Authorization", "Self-contained Tokens", "OAuth and OIDC",
    "Cryptography", "Secure Communication", "Configuration", "Data Protection", "Secure Coding and Architecture",
    "Security Logging and Error Handling", "WebRTC",
)  # fmt: skip


def rows() -> list[tuple[list[str], str, str]]:
    """The numbers, the state and the reasons of each row, in their order."""
    return [(numbers.split(", "), state, why) for numbers, _, state, why in ROW.findall(PAGE.read_text("utf-8"))]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The functions of a file that pytest would run."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def exists(place: str) -> bool:
    """Whether a path of the repository, or a test given as path::name, is there."""
    path, _, name = place.partition("::")
    return (ROOT / path).exists() and (not name or name in functions_of(ROOT / path))


def places(text: str) -> list[str]:
    """The files and tests that stand between backticks."""
    return [span for span in SPAN.findall(text) if PATH.fullmatch(span.partition("::")[0])]


@BOTH
def test_every_test_and_every_file_that_is_named_exists(page):
    named = places(running_text(page))

    assert len(named) > 20
    assert [place for place in named if not exists(place)] == []


@BOTH
def test_every_link_leads_to_a_page(page):
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]

    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_every_chapter_has_its_heading_and_its_requirements_below_it():
    found = re.findall(r"^## V(\d+) (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    sections = re.split(r"^## V\d+ .+$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]

    assert found == [(str(number), name) for number, name in enumerate(CHAPTERS, start=1)]
    for number, section in enumerate(sections, start=1):
        below = {each.split(".")[0] for numbers, *_ in ROW.findall(section) for each in numbers.split(", ")}
        assert below == {str(number)}


def test_every_requirement_of_levels_1_and_2_has_one_row():
    wanted = [f"{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)]
    listed = [number for numbers, _, _ in rows() for number in numbers]

    assert sorted(set(wanted) - set(listed)) == []
    assert Counter(listed) == Counter(wanted)


def test_every_row_has_a_state_and_what_is_met_names_where():
    assert [numbers for numbers, state, _ in rows() if state not in STATES] == []
    assert [numbers for numbers, state, why in rows() if state == "met" and not places(why)] == []


def test_the_sums_are_those_of_the_rows():
    count = Counter(state for numbers, state, _ in rows() for _ in numbers)
    said = (
        f"Of its {count.total()} requirements {count['met']} are met, {count['partly']} partly, "
        f"{count['not met']} not, and {count['not applicable']} do not apply."
    )

    assert said in running_text(PAGE)


def test_a_name_that_is_not_there_would_be_found():
    assert places("`tests/unit/test_gone.py::test_it`, `SECRET_KEY`, `POST /login`, `x`") == [
        "tests/unit/test_gone.py::test_it"
    ]
    assert not exists("tests/unit/test_gone.py")
    assert not exists("tests/unit/test_security_page.py::test_that_is_not_there")
    assert exists("tests/unit/test_security_page.py::test_a_name_that_is_not_there_would_be_found")
